"""What `train_tiny.py` trains on: pictures of Debian packages, cut into patches."""

from __future__ import annotations

import os
import re
import subprocess
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import torch

from dift_geo.detectors.sift import Sift
from dift_geo.dift.patches import cut_patches
from dift_geo.dift.views import correspondences, synthetic_view
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.types import Keypoints

__all__ = ["EXTENT", "PACKAGES", "SIDE", "SPLIT", "cut_image", "list_pictures", "prepare", "select"]

PACKAGES = (
    "plasma-workspace-wallpapers",
    "mate-backgrounds",
    "ukui-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "gnome-backgrounds",
    "ufoai-textures",
    "torcs-data",
    "trigger-rally-data",
)
# Seen on the contact sheets: drawings, renderings, logos, track maps, signs, normal maps.
REJECT = re.compile(
    r"screenshot|Altai|autumn|wallpapers/Autumn|Canopee|Cascade|Cluster|Elarun|Flow|FlyingKonqui"
    r"|Honeywave|IceCold|Kay|Kokkini|MilkyWay|Opal|PastelHills|Patak|SafeLanding|Shell|Volna"
    r"|DarkestHour|Kite|summer_1am|adwaita|/grid|licorice|pixels|symbolic|truchet|vnc|/abstract/"
    r"|/desktop/|Elephants|umang|Fossa|Infinite|Painting|analogpattern|contour|tex_pics|tex_shop"
    r"|tex_lights|logo|/cars/|data/img|shadow|_nm\.|_gm\.|_sm\.|normal|_rm\.|background\.png"
    r"|env\.png|sign|flag|billboard|pub|/raceline|tex_common",
    re.IGNORECASE,
)
SIDE = 32  # patch side in pixels; the network sees 4x4 blocks of it
EXTENT = 12.0  # half of that side in keypoint scales
SPLIT = 40  # every SPLIT-th image is kept for validation


def fetch(work: Path, packages: list[str]) -> Path:
    """Download and unpack Debian packages below WORK/packages; what is there already is not fetched
    again.
    """
    for package in packages:
        target = work / "packages" / package
        if target.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], cwd=target.parent, check=True)
        subprocess.run(
            ["dpkg-deb", "-x", str(next(target.parent.glob(f"{package}_*.deb"))), f"{target}.part"],
            check=True,
        )
        for archive in Path(f"{target}.part").rglob("*.pk3"):
            subprocess.run(
                ["python3", "-m", "zipfile", "-e", str(archive), str(archive.with_suffix(""))],
                check=True,
            )
        os.replace(f"{target}.part", target)
    return work / "packages"


def select(root: Path) -> list[str]:
    """Names worth training on: no rejected name, one file per wallpaper, large enough, few
    dead-flat pixels.
    """
    largest: dict[str, str] = {}
    for name in list_images(root):
        if REJECT.search(name):
            continue
        key = name.rsplit("/contents/", 1)[0]
        if (
            key not in largest
            or (root / name).stat().st_size > (root / largest[key]).stat().st_size
        ):
            largest[key] = name
    return [name for name in sorted(largest.values()) if not _is_flat_art(root / name)]


def list_pictures(work: Path, packages: list[str]) -> list[str]:
    """Fetch packages and write WORK/images.txt, the names of the pictures in WORK/packages."""
    names = select(fetch(work, packages))
    (work / "images.txt").write_text("".join(f"{name}\n" for name in names))
    return names


def _is_flat_art(path: Path) -> bool:
    try:
        image = cv2.cvtColor(resize_longest(read_image(path), 512), cv2.COLOR_RGB2GRAY)
    except ValueError:
        return True
    flat = (cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 0).mean()
    return min(image.shape) < 100 or bool(flat > 0.2)


def jittered(keypoints: Keypoints, random: np.random.Generator) -> Keypoints:
    """Frames a little off, as two detections of one point are."""
    assert keypoints.scale is not None
    assert keypoints.angle is not None
    n = len(keypoints)
    scale = keypoints.scale * np.exp(random.normal(0, 0.35, n))
    xy = keypoints.xy + random.normal(0, 0.5, (n, 2)) * keypoints.scale[:, None]
    return Keypoints(
        xy, keypoints.scores, keypoints.size_wh, scale, keypoints.angle + random.normal(0, 0.15, n)
    )


def anywhere(n: int, size_wh: tuple[int, int], random: np.random.Generator) -> Keypoints:
    """Upright frames at random places: what the dense reading shows to the network."""
    xy = random.uniform(0, 1, (n, 2)) * size_wh
    return Keypoints(
        xy, np.ones(n), size_wh, np.exp(random.uniform(np.log(1.5), np.log(6), n)), np.zeros(n)
    )


def cut_image(image: np.ndarray, random: np.random.Generator, per_scale: int) -> np.ndarray:
    """(N, SIDE, SIDE) uint8 patches of a picture at several sizes, and of synthetic views of it."""
    parts = [np.zeros((0, SIDE, SIDE), np.uint8)]

    def cut(picture: np.ndarray, keypoints: Keypoints) -> None:
        patches = cut_patches(picture, keypoints, SIDE, EXTENT)[:, 0]
        patches = patches[patches.std(dim=(1, 2)) > 0.02] if len(patches) else patches
        parts.append((patches * 255).round().byte().numpy())

    for longest in (480, 800, 1600):
        if longest > max(image.shape[:2]) * 1.5:
            break
        resized = resize_longest(image, longest)
        frames = jittered(Sift(per_scale, contrast_threshold=0.02).detect(resized), random)
        cut(resized, frames)
        cut(resized, anywhere(len(frames) // 5, frames.size_wh, random))
    # what is found again in a changed view is what the model will be asked about
    for longest in (640, 640, 1000, 480):
        resized = resize_longest(image, longest)
        detector = Sift(800, contrast_threshold=0.03)
        view, H = synthetic_view(resized, random)
        found, again = detector.detect(resized), detector.detect(view)
        pairs = random.permutation(correspondences(found, again, H))[:120]
        cut(resized, found[pairs[:, 0]])
        cut(view, again[pairs[:, 1]])
    return np.concatenate(parts)


def _cut_named(job: tuple[Path, int, int, int]) -> np.ndarray:
    path, index, per_scale, seed = job
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    return cut_image(read_image(path), np.random.default_rng((seed, index)), per_scale)


def prepare(work: Path, packages: list[str], per_scale: int, seed: int) -> None:
    """Write WORK/train.npy and WORK/val.npy ((N, 32, 32) uint8), WORK/images.txt and contact
    sheets.
    """
    names = list_pictures(work, packages)
    root = work / "packages"
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": []}
    jobs = [(root / name, index, per_scale, seed) for index, name in enumerate(names)]
    with Pool(os.cpu_count()) as pool:
        for index, patches in enumerate(pool.imap(_cut_named, jobs)):
            parts["val" if index % SPLIT == 0 else "train"].append(patches)
            print(f"\r{index + 1}/{len(names)} images", end="", flush=True)
    for split, lists in parts.items():
        stack = np.concatenate(lists)
        np.save(work / f"{split}.npy", stack)
        print(f"\n{split}: {len(stack)} patches")
        sample = stack[random.choice(len(stack), min(2400, len(stack)), replace=False)]
        cv2.imwrite(str(work / f"sheet_{split}.png"), _sheet(sample, 60))
    thumbs = [
        cv2.resize(read_image(root / name), (96, 64), interpolation=cv2.INTER_AREA)
        for name in names
    ]
    cv2.imwrite(str(work / "sheet_images.png"), _sheet(np.stack(thumbs), 30)[..., ::-1])


def _sheet(tiles: np.ndarray, columns: int) -> np.ndarray:
    rows = len(tiles) // columns
    return np.vstack([np.hstack(list(tiles[r * columns : (r + 1) * columns])) for r in range(rows)])
