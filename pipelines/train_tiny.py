#!/usr/bin/env python3
"""Train the embedded diffusion U-Net from scratch on photographs and textures of Debian packages.

    python pipelines/train_tiny.py prepare WORK          download, select, cut patches, draw sheets
    python pipelines/train_tiny.py train   WORK --minutes 120
    python pipelines/train_tiny.py export  WORK dift_geo/weights/tiny
    python pipelines/train_tiny.py project WORK dift_geo/weights/tiny

`prepare` needs a Debian machine (apt-get download, dpkg-deb). `train` may be killed and started
again: it goes on from WORK/checkpoint.pt, appends to WORK/log.jsonl and keeps an averaged snapshot
under WORK/snapshots with its validation losses and a probe of matching; `search.py --curve WORK`
scores snapshots on real pairs. `export` writes the model and the settings to run it with to any
folder, which `--backend FOLDER` then takes; `project` adds the projections. Nothing of WORK belongs
into the repository but what these two write.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from tiny_model import batch_of, build_model, build_scheduler, v_loss, validate
from tiny_patches import EXTENT, PACKAGES, SIDE, SPLIT, prepare

from dift_geo.backends.config import Dense, DiftConfig, Effort, Oriented, ReadingName, Upright
from dift_geo.backends.modelfiles import write_settings
from dift_geo.backends.tiny import Tiny
from dift_geo.detectors.contract import Detector
from dift_geo.detectors.loader import load_detector
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.calibration import calibrate
from dift_geo.dift.describer import Dift
from dift_geo.images import read_image

PROBED = 20  # of them, for the probe
# what `export` tells users of the model to run it with; the first reading is the default one
SETTINGS: dict[ReadingName, DiftConfig] = {
    "oriented": DiftConfig(
        reading=Oriented(patch_px=SIDE, extents=(EXTENT, 16.0, 24.0), tilt=5 / 3, grid=2),
        t=100,
        layers=(-2,),
    ),
    "upright": DiftConfig(
        reading=Upright(patch_px=SIDE, radii_px=(8.0, 16.0, 36.0), tilt=5 / 3, grid=2),
        t=100,
        layers=(-2,),
    ),
    "dense": DiftConfig(reading=Dense(), t=100, layers=(1, 2)),
}
# of other efforts, each in a folder of that name; the first down block is as good as the last one
# and a third of the work (docs/log.md)
EFFORTS: dict[Effort, dict[ReadingName, DiftConfig]] = {
    "fast": {
        "oriented": DiftConfig(
            reading=Oriented(patch_px=24, extents=(12.0, 20.0), tilt=5 / 3, grid=4),
            t=100,
            layers=(-4,),
        )
    },
    "best": {
        "oriented": DiftConfig(
            reading=Oriented(patch_px=SIDE, extents=(EXTENT, 16.0, 24.0), tilt=5 / 3, grid=4),
            t=100,
            layers=(-4,),
        )
    },
}
CONSTANTS = {("fast", "oriented"): 1.5}  # fewer views give fewer matches, a smaller constant more
# +rootsift: RootSIFT goes through the projection too
READINGS = ("oriented", "oriented+rootsift", "upright", "dense")
FITTED_AT = 500  # keypoints of a picture


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
    dift = Dift(Tiny(folder), Sift(300), SETTINGS["oriented"], None, size=480)
    return {"mma": round(calibrate(work / "packages", dift, names=names, views=2).mma_after, 4)}


class Training:
    """A model, its averaged weights and its optimiser, as far as WORK/checkpoint.pt has them.

    start: folder of exported weights to begin with where WORK has no checkpoint.
    decay: of the moving average of the weights.
    """

    def __init__(self, work: Path, start: Path | None, lr: float, decay: float) -> None:
        from diffusers.training_utils import EMAModel

        self.work, self.lr = work, lr
        self.model, self.scheduler = build_model(), build_scheduler()
        if start is not None:
            given = type(self.model).from_pretrained(start, low_cpu_mem_usage=False)
            self.model.load_state_dict(given.state_dict())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=0.01)
        self.ema = EMAModel(self.model.parameters(), decay=decay)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []  # the last ones
        self.checkpoint = work / "checkpoint.pt"
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.ema.load_state_dict(saved["ema"])
            self.step, self.seconds = saved["state"]["step"], saved["state"]["seconds"]
            print(f"resumed at step {self.step} after {self.seconds / 60:.1f} minutes")

    @property
    def state(self) -> dict[str, float]:
        return {"step": self.step, "seconds": self.seconds}

    def save(self) -> None:
        parts = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "state": self.state,
        }
        torch.save(parts, f"{self.checkpoint}.part")
        os.replace(f"{self.checkpoint}.part", self.checkpoint)

    def snapshot(self, validation: np.ndarray) -> None:
        """Write the averaged weights, and a line of what they are worth."""
        self.ema.store(self.model.parameters())
        self.ema.copy_to(self.model.parameters())
        target = self.work / "snapshots" / f"{self.seconds / 60:06.1f}"
        self.model.save_pretrained(target, variant=None)
        self.scheduler.save_pretrained(target)
        record = {
            **self.state,
            "loss": round(float(np.mean(self.losses)), 4) if self.losses else None,
            **validate(self.model, self.scheduler, validation),
            **probe(self.work, target),
        }
        self.ema.restore(self.model.parameters())
        with (self.work / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)

    def learn(self, patches: np.ndarray, batch: int, seed: int, spent: float, bf16: bool) -> None:
        """One step; the learning rate falls from `lr` to 0 as `spent` goes from 0 to 1."""
        random = np.random.default_rng((seed, self.step))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + self.step)
        index = np.sort(random.integers(0, len(patches), batch))
        x0 = batch_of(patches, index, random.integers(0, 8, batch))
        t = torch.randint(0, 1000, (batch,), generator=generator)
        warm, falling = min(1.0, (self.step + 1) / 200), 0.5 * (1 + math.cos(math.pi * spent))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * warm * falling
        noise = torch.randn(x0.shape, generator=generator)
        loss = v_loss(self.model, self.scheduler, x0, t, noise, bf16).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.step(self.model.parameters())
        self.losses = [*self.losses[-499:], loss.item()]
        self.step += 1


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
    torch.manual_seed(seed)
    patches, validation = (
        np.load(work / f"{split}.npy", mmap_mode="r") for split in ("train", "val")
    )
    training = Training(work, start, lr, decay)
    saved_at = snapped_at = clock = time.monotonic()
    while training.seconds < 60 * minutes:
        training.learn(patches, batch, seed, min(1.0, training.seconds / (60 * minutes)), bf16)
        now = time.monotonic()
        training.seconds += now - clock
        clock = now
        if now - saved_at > 120:
            training.save()
            saved_at = now
        if now - snapped_at > 60 * snapshot_minutes:
            training.snapshot(validation)
            snapped_at = clock = time.monotonic()  # looking at the model is not training it
    training.save()
    training.snapshot(validation)


def export(work: Path, target: Path) -> None:
    """Write the averaged weights, half precision, in diffusers' format, and the settings to run
    them with.
    """
    from diffusers.training_utils import EMAModel

    model = build_model()
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    ema = EMAModel(model.parameters())
    ema.load_state_dict(saved["ema"])
    ema.copy_to(model.parameters())
    model.half().save_pretrained(target)
    build_scheduler().save_pretrained(target)
    write_settings(target / "settings.json", SETTINGS)
    for effort, settings in EFFORTS.items():
        (target / effort).mkdir(exist_ok=True)
        write_settings(target / effort / "settings.json", settings)
    minutes = saved["state"]["seconds"] / 60
    print(f"{target}: step {saved['state']['step']}, {minutes:.1f} minutes of training")


def fitted_at(reading: str) -> Detector:
    """Finds the keypoints at which the projection of a reading is fitted: such as it is read at."""
    if reading == Upright.name:
        return load_detector("aliked", max_keypoints=FITTED_AT)
    return Sift(FITTED_AT, max_orientations=1 if reading == Dense.name else 2)


def project(
    work: Path,
    target: Path,
    readings: list[str] | None,
    pictures: int,
    effort: Effort,
    seed: int,
) -> None:
    """Fit the projections of an exported model on synthetic views of training pictures.

    readings: by default all, and of another effort than the default one those at SIFT keypoints.
    """
    names = (work / "images.txt").read_text().splitlines()
    random = np.random.default_rng(seed)
    large = (
        name
        for name in random.permutation(names)
        if max(read_image(work / "packages" / name).shape) >= 500
    )
    chosen = list(itertools.islice(large, pictures))
    model, usual = Tiny(target).at_effort(effort), effort == "default"
    for reading in readings or (READINGS if usual else READINGS[:2]):
        kind, _, beside = reading.partition("+")
        dense = kind == Dense.name
        detector = fitted_at(kind)
        config = next(model.settings(name, "default") for name in SETTINGS if name == kind)
        rootsift = RootSift(detector) if beside and isinstance(detector, Sift) else None
        dift = Dift(model, detector, config, None, 640, rootsift)
        ridge = 1e-2 if dense else 1e-3  # of larger inputs and fewer pairs
        result = calibrate(
            work / "packages",
            dift,
            names=chosen,
            views=4,
            seed=seed,
            ridge=ridge,
            constant=CONSTANTS.get((effort, reading)),
        )
        folder = target if usual else target / effort
        result.projection.save(folder / f"projection_{reading}.safetensors")
        print(
            f"{reading}: {result.pairs} pairs; "
            f"held-back MMA@3px {100 * result.mma_before:.1f} % raw, "
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
    p.add_argument("--readings", nargs="+", choices=READINGS)
    p.add_argument("--effort", choices=get_args(Effort), default="default")
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
