"""The kinds of files that are read: whole samples of each, and what reading one gives.

A part of `fuzz.py`, which has the command line.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from fuzz_databases import NAMES, make_database, mutate_database, read_database
from mutations import mutate_binary, mutate_safetensors, mutate_text
from PIL import Image, features

from dift_geo.backends.loader import load_backend
from dift_geo.backends.tiny import WEIGHTS
from dift_geo.benchmark.foreign import read_npz_features
from dift_geo.benchmark.homography.data import read_homography
from dift_geo.colmap.cameras import read_cameras
from dift_geo.colmap.intrinsics import read_intrinsics
from dift_geo.colmap.workspace import Workspace
from dift_geo.detectors.listed import read_keypoint_file
from dift_geo.dift.projection import Projection
from dift_geo.images import read_image
from dift_geo.pairs.lists import read_pairs
from dift_geo.recipe import write_json
from dift_geo.types import Features

__all__ = ["KINDS", "Kind", "digest"]

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    make: writes whole samples below a folder; gives the files that are damaged.
    read: what the package reads from one, in a folder for results.
    mutate: how they are damaged.
    whole: reading gives what was written, or an error, and nothing else: there is a checksum.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], object]
    mutate: Mutate
    whole: bool = False


def digest(value: object) -> str:
    """A hash of what was read."""
    return sha256(repr(_plain(value)).encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), sha256(np.ascontiguousarray(value)).hexdigest()
    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in sorted(value.items())]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Features):
        return _plain([value.keypoints.xy, value.descriptors])
    return value


def _picture(seed: int, size_wh: tuple[int, int] = (61, 47)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size_wh, Image.Resampling.BICUBIC))


def _images(folder: Path) -> list[Path]:
    rgb, grey = _picture(0), _picture(1)[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    colour, plain = Image.fromarray(rgb), Image.fromarray(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    samples: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("a.jpg", colour, {}),
        ("progressive.jpg", colour, {"progressive": True, "exif": exif}),
        ("grey.jpeg", plain, {}),
        ("cmyk.jpg", colour.convert("CMYK"), {}),
        ("a.png", colour, {}),
        ("alpha.png", colour.convert("RGBA"), {}),
        ("palette.png", colour.convert("P"), {}),
        ("deep.png", deep, {}),
        ("a.bmp", colour, {}),
        ("a.ppm", colour, {}),
        ("a.pgm", plain, {}),
        ("deep.pgm", deep, {}),
        ("a.tif", colour, {}),
        ("lzw.tif", colour, {"compression": "tiff_lzw", "exif": exif}),
        ("deflate.tif", colour, {"compression": "tiff_adobe_deflate"}),
        ("fax.tif", plain.convert("1"), {"compression": "group4"}),
        ("deep.tif", deep, {}),
        ("float.tif", Image.fromarray(grey.astype(np.float32)), {}),
        ("a.gif", colour, {"save_all": True, "append_images": [Image.fromarray(_picture(2))]}),
        ("a.webp", colour, {}),
        ("lossless.webp", colour, {"lossless": True}),
    ]
    if features.check("avif"):
        samples.append(("a.avif", colour, {}))
    if features.check("jpg_2000"):
        samples.append(("a.jp2", colour, {}))
    for name, image, words in samples:
        image.save(folder / name, **words)
    return [folder / name for name, _, _ in samples]


def _text(name: str, text: str, folder: Path) -> list[Path]:
    (folder / name).write_text(text, encoding="utf-8")
    return [folder / name]


PAIRS = "a.png sub/d.png\na.png\tb c.png\nsub/d.png übung.png\n./a.png sub/#e.png 0.5\n"
INTRINSICS = (
    "a.png PINHOLE 1379.74 1382.08 760.6 503.7\n# known\n* SIMPLE_RADIAL 600 320 240 0.01\n"
    "b c.png OPENCV 600 600 320 240 0.1 0.01 0 0\n"
)
CAMERA = "640 480 600 600 320 240 1 0 0 0 0 1 0 0 0 0 1 2\n"
CAMERAS = f"a.png {CAMERA}b c.png {CAMERA}"


def _read_pairs(path: Path, out: Path) -> object:
    pairs = read_pairs(path, NAMES)
    assert all(a in NAMES and b in NAMES and a != b for a, b in pairs)
    return pairs


def _read_intrinsics(path: Path, out: Path) -> object:
    found = read_intrinsics(path)
    assert all(np.isfinite(parameters).all() for _, parameters in found.values())
    return found


def _read_cameras(path: Path, out: Path) -> object:
    found = read_cameras(path)
    return {
        name: [camera.size_wh, camera.K, camera.cam_from_world] for name, camera in found.items()
    }


def _projections(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    mean, matrix = random.standard_normal(12), random.standard_normal((12, 5))
    for name, constant in (("plain", 0.0), ("constant", 2.0)):
        fitted = Projection(
            mean.astype(np.float32), matrix.astype(np.float32), {"for": "fuzz"}, constant, 1.5
        )
        fitted.save(folder / f"{name}.safetensors")
    return sorted(folder.glob("*.safetensors"))


def _read_projection(path: Path, out: Path) -> object:
    read = Projection.load(path)
    assert np.isfinite(read.apply(np.eye(read.input_dim))).all()
    return read.fingerprint, read.about


def _weights(folder: Path) -> list[Path]:
    from diffusers.models.unets.unet_2d import UNet2DModel

    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    channels = [32 for _ in config["block_out_channels"]]
    small = {**config, "block_out_channels": channels, "layers_per_block": 1}
    UNet2DModel.from_config(small).save_pretrained(folder / "model")
    for name in ("scheduler_config.json", "settings.json"):
        shutil.copy(WEIGHTS / name, folder / "model")
    return sorted(path for path in (folder / "model").iterdir() if path.suffix != ".md")


def _mutate_weights(data: bytes, draw: random.Random) -> bytes:
    return mutate_text(data, draw) if data[:1] in b"{[" else mutate_safetensors(data, draw)


def _read_weights(path: Path, out: Path) -> object:
    backend = load_backend(str(path.parent))
    settings = backend.settings(None, "default")
    picture = np.asarray(_picture(0, (64, 64)).transpose(2, 0, 1), np.float32)
    mean, _ = backend.encode(torch.from_numpy(picture[None] / 255))
    found = backend.decoder_features(mean, settings.t, settings.layers)
    return [value.numpy() for value in found]


def _arrays(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    arrays = {"keypoints": random.random((9, 2)), "descriptors": random.random((9, 4))}
    with (folder / "a.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    return [folder / "a.npz"]


def _marker(folder: Path) -> list[Path]:
    """What says whose a folder is: a record of a run, and what 0.1 left."""
    run, old = folder / "run", folder / "old"
    with Workspace(run).claimed():
        pass
    old.mkdir()
    write_json(old / "summary.json", {"dift_geo": "0.1.0", "images": 5, "registered": 5})
    return [run / ".dift-geo.json", old / "summary.json"]


def _read_marker(path: Path, out: Path) -> object:
    Workspace(path.parent)
    return None


KINDS: dict[str, Kind] = {
    "images": Kind(_images, lambda path, out: read_image(path), mutate_binary),
    "pairs": Kind(partial(_text, "pairs.txt", PAIRS), _read_pairs, mutate_text),
    "projections": Kind(_projections, _read_projection, mutate_safetensors, whole=True),
    "databases": Kind(make_database, read_database, mutate_database),
    "weights": Kind(_weights, _read_weights, _mutate_weights),
    "intrinsics": Kind(partial(_text, "known.txt", INTRINSICS), _read_intrinsics, mutate_text),
    "cameras": Kind(partial(_text, "cameras.txt", CAMERAS), _read_cameras, mutate_text),
    "homographies": Kind(
        partial(_text, "H_1_2", "1 0.1 3\n0 1 4\n1e-4 0 1\n"),
        lambda path, out: read_homography(path),
        mutate_text,
    ),
    "keypoint lists": Kind(
        partial(_text, "v_a-1.kp", "1 2\n3.5 4.5 9\n"),
        lambda path, out: read_keypoint_file(path),
        mutate_text,
    ),
    "arrays": Kind(_arrays, lambda path, out: read_npz_features(path, (9, 9)), mutate_binary),
    "markers": Kind(_marker, _read_marker, mutate_text),
}
