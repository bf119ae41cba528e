#!/usr/bin/env python3
"""Train the embedded diffusion U-Net from scratch on photographs and textures of Debian packages.

    python pipelines/train_tiny.py prepare WORK            download, select, cut patches, draw contact sheets
    python pipelines/train_tiny.py train   WORK --minutes 120
    python pipelines/train_tiny.py export  WORK dift_geo/weights/tiny
    python pipelines/train_tiny.py project WORK dift_geo/weights/tiny

`prepare` needs a Debian machine (apt-get download, dpkg-deb). `train` may be killed and started
again: it goes on from WORK/checkpoint.pt, appends to WORK/log.jsonl and keeps an averaged snapshot
under WORK/snapshots with its validation losses and a probe of matching; `search.py --curve WORK`
scores snapshots on real pairs. Nothing of WORK belongs into the repository but what `export`
writes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import subprocess
import time
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from dift_geo.backends.tiny import Tiny
from dift_geo.detectors.sift import Sift
from dift_geo.dift.calibration import calibrate, correspondences, synthetic_view
from dift_geo.dift.config import DiftConfig
from dift_geo.dift.describer import Dift
from dift_geo.dift.patches import cut_patches
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.types import Keypoints

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
    r"screenshot|Altai|autumn|wallpapers/Autumn|Canopee|Cascade|Cluster|Elarun|Flow|FlyingKonqui|Honeywave|IceCold|Kay|Kokkini|MilkyWay"
    r"|Opal|PastelHills|Patak|SafeLanding|Shell|Volna|DarkestHour|Kite|summer_1am|adwaita|/grid|licorice|pixels|symbolic|truchet|vnc"
    r"|/abstract/|/desktop/|Elephants|umang|Fossa|Infinite|Painting|analogpattern|contour|tex_pics|tex_shop|tex_lights|logo|/cars/"
    r"|data/img|shadow|_nm\.|_gm\.|_sm\.|normal|_rm\.|background\.png|env\.png|sign|flag|billboard|pub|/raceline|tex_common",
    re.IGNORECASE,
)
SIDE = 32  # patch side in pixels; the network sees 4x4 blocks of it
EXTENT = 12.0  # half of that side in keypoint scales
SPLIT = 40  # every SPLIT-th image is kept for validation
PROBED = 20  # of them, for the probe
READINGS = ("oriented", "oriented+sift", "dense")  # +sift: RootSIFT goes through the projection too


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
    """(N, SIDE, SIDE) uint8 patches of one picture at several sizes, and of synthetic views of it."""
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
    root = fetch(work, packages)
    names = select(root)
    (work / "images.txt").write_text("".join(f"{name}\n" for name in names))
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


def build_model() -> torch.nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIDE // 4,
        in_channels=16,
        out_channels=16,
        block_out_channels=(48, 96, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        add_attention=False,
    )


def build_scheduler():  # type: ignore[no-untyped-def]
    from diffusers import DDPMScheduler

    return DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")


def batch_of(patches: np.ndarray, index: np.ndarray, flips: np.ndarray) -> torch.Tensor:
    """(B, 16, SIDE/4, SIDE/4): standardised, one of eight mirrorings each, 4x4 blocks into
    channels.
    """
    x = torch.from_numpy(patches[index]).float()
    x = torch.stack(
        [torch.rot90(p.flip(1) if f & 4 else p, int(f & 3), (0, 1)) for p, f in zip(x, flips)]
    )
    x = (x - x.mean((1, 2), keepdim=True)) / (x.std((1, 2), keepdim=True) + 1e-3)
    return F.pixel_unshuffle(x[:, None], 4)


def v_loss(model, scheduler, x0, t, noise, bf16=False):  # type: ignore[no-untyped-def]
    """Squared error of the predicted velocity, per sample (Salimans and Ho 2022)."""
    x_t = scheduler.add_noise(x0, noise, t)
    v = scheduler.get_velocity(x0, noise, t)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        predicted = model(x_t, t, return_dict=False)[0]
    return (predicted.float() - v).square().mean((1, 2, 3))


@torch.no_grad()
def validate(model, scheduler, patches: np.ndarray) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Loss at fixed noise levels, on fixed patches and fixed noise."""
    index = np.linspace(0, len(patches) - 1, 256).astype(int)
    x0 = batch_of(patches, index, np.zeros(256, int))
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    losses = {
        t: v_loss(model, scheduler, x0, torch.full((256,), t), noise).mean().item()
        for t in (20, 100, 250, 500, 800)
    }
    return {f"val@{t}": round(loss, 4) for t, loss in losses.items()}


def probe(work: Path, folder: Path) -> dict[str, float]:
    """MMA@3px on synthetic views of validation pictures, by a small projection of its own; nothing
    without pictures.

    Sees the model as `dift-geo` will: at keypoints, through patches, projection and mutual nearest
    neighbours.
    """
    listed = work / "images.txt"
    if not listed.is_file():
        return {}
    names = [
        name for index, name in enumerate(listed.read_text().splitlines()) if index % SPLIT == 0
    ][:PROBED]
    dift = Dift(Tiny(folder), Sift(300), DiftConfig.default("tiny"), None, size=480)
    return {"mma": round(calibrate(work / "packages", dift, names=names, views=2).mma_after, 4)}


def train(
    work: Path,
    minutes: float,
    batch: int,
    lr: float,
    decay: float,
    seed: int,
    snapshot_minutes: float,
    start: Path | None,
    bf16: bool,
) -> None:
    """Train until `minutes` of training in all are over, across restarts; the learning rate falls
    to 0 on the way.
    """
    from diffusers.training_utils import EMAModel

    torch.manual_seed(seed)
    data = {split: np.load(work / f"{split}.npy", mmap_mode="r") for split in ("train", "val")}
    model, scheduler = build_model(), build_scheduler()
    if start is not None:
        model.load_state_dict(
            type(model).from_pretrained(start, low_cpu_mem_usage=False).state_dict()
        )  # type: ignore[attr-defined]
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    ema = EMAModel(model.parameters(), decay=decay)
    state = {"step": 0, "seconds": 0.0}
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        ema.load_state_dict(saved["ema"])
        state = saved["state"]
        print(f"resumed at step {state['step']} after {state['seconds'] / 60:.1f} minutes")

    def save() -> None:
        parts = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "ema": ema.state_dict(),
            "state": state,
        }
        torch.save(parts, f"{checkpoint}.part")
        os.replace(f"{checkpoint}.part", checkpoint)

    def snapshot() -> None:
        ema.store(model.parameters())
        ema.copy_to(model.parameters())
        target = work / "snapshots" / f"{state['seconds'] / 60:06.1f}"
        model.save_pretrained(target, variant=None)  # type: ignore[operator]
        scheduler.save_pretrained(target)
        record = {
            **state,
            "loss": round(float(np.mean(losses)), 4) if losses else None,
            **validate(model, scheduler, data["val"]),
            **probe(work, target),
        }
        ema.restore(model.parameters())
        with (work / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)

    losses: list[float] = []
    saved_at = snapped_at = clock = time.monotonic()
    while state["seconds"] < 60 * minutes:
        random = np.random.default_rng((seed, state["step"]))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + state["step"])
        index = np.sort(random.integers(0, len(data["train"]), batch))
        x0 = batch_of(data["train"], index, random.integers(0, 8, batch))
        t = torch.randint(0, 1000, (batch,), generator=generator)
        for group in optimizer.param_groups:
            spent = min(1.0, state["seconds"] / (60 * minutes))
            group["lr"] = (
                lr * min(1.0, (state["step"] + 1) / 200) * 0.5 * (1 + math.cos(math.pi * spent))
            )
        loss = v_loss(
            model, scheduler, x0, t, torch.randn(x0.shape, generator=generator), bf16
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema.step(model.parameters())
        losses = [*losses[-499:], loss.item()]
        state["step"] += 1
        now = time.monotonic()
        state["seconds"] += now - clock
        clock = now
        if now - saved_at > 120:
            save()
            saved_at = now
        if now - snapped_at > 60 * snapshot_minutes:
            snapshot()
            snapped_at = clock = time.monotonic()  # looking at the model is not training it
    save()
    snapshot()


def export(work: Path, target: Path) -> None:
    """Write the averaged weights, half precision, in diffusers' format."""
    from diffusers.training_utils import EMAModel

    model = build_model()
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    ema = EMAModel(model.parameters())
    ema.load_state_dict(saved["ema"])
    ema.copy_to(model.parameters())
    model.half().save_pretrained(target)  # type: ignore[operator]
    build_scheduler().save_pretrained(target)
    print(
        f"{target}: step {saved['state']['step']}, {saved['state']['seconds'] / 60:.1f} minutes of training"
    )


def project(work: Path, target: Path, readings: list[str], pictures: int, seed: int) -> None:
    """Fit the closed-form projections of an exported model on synthetic views of training pictures."""
    names = (work / "images.txt").read_text().splitlines()
    random = np.random.default_rng(seed)
    large = (
        name
        for name in random.permutation(names)
        if max(read_image(work / "packages" / name).shape) >= 500
    )
    chosen = list(itertools.islice(large, pictures))
    for reading in readings:
        kind, _, beside = reading.partition("+")
        config = DiftConfig.default("tiny", kind)  # type: ignore[arg-type]
        detector = Sift(500, max_orientations=1 if kind == "dense" else 2)
        dift = Dift(Tiny(target), detector, config, None, 640, detector if beside else None)
        ridge = 1e-2 if kind == "dense" else 1e-3  # of larger inputs and fewer pairs
        result = calibrate(work / "packages", dift, names=chosen, views=4, seed=seed, ridge=ridge)
        result.projection.save(target / f"projection_{reading}.safetensors")
        print(
            f"{reading}: {result.pairs} pairs; held-back MMA@3px {100 * result.mma_before:.1f} % raw, "
            f"{100 * result.mma_after:.1f} % projected, {result.held_back} views"
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("prepare")
    p.add_argument("work", type=Path)
    p.add_argument("--packages", nargs="*", default=list(PACKAGES))
    p.add_argument("--per-scale", type=int, default=600, help="SIFT frames per picture and size")
    p.add_argument("--seed", type=int, default=0)
    p = commands.add_parser("train")
    p.add_argument("work", type=Path)
    p.add_argument("--minutes", type=float, default=120, help="training in all, restarts included")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument(
        "--bf16",
        action="store_true",
        help="autocast; about 1.6 times faster where the CPU has AVX512-BF16",
    )
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument(
        "--decay", type=float, default=0.999, help="of the moving average of the weights"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--snapshot-minutes", type=float, default=10)
    p.add_argument(
        "--start",
        type=Path,
        metavar="FOLDER",
        help="exported weights to go on from where WORK has no checkpoint",
    )
    p = commands.add_parser("export")
    p.add_argument("work", type=Path)
    p.add_argument("target", type=Path)
    p = commands.add_parser("project")
    p.add_argument("work", type=Path)
    p.add_argument("target", type=Path)
    p.add_argument("--readings", nargs="+", default=list(READINGS), choices=READINGS)
    p.add_argument(
        "--pictures",
        type=int,
        default=300,
        help="at least 500 px long; every fifth, up to 20, only measures",
    )
    p.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args(argv))
    {"prepare": prepare, "train": train, "export": export, "project": project}[
        options.pop("command")
    ](**options)


if __name__ == "__main__":
    main()
