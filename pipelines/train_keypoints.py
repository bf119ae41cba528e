#!/usr/bin/env python3
"""Train the embedded detector of keypoints on photographs and textures of Debian packages.

    python pipelines/train_keypoints.py prepare WORK           download and select pictures
    python pipelines/train_keypoints.py train   WORK --minutes 60
    python pipelines/train_keypoints.py label   WORK --minutes 15   what `dift` matches right
    python pipelines/train_keypoints.py train   WORK --minutes 75   goes on, with the labels
    python pipelines/train_keypoints.py export  WORK dift_geo/weights/tiny_keypoints
    python pipelines/train_keypoints.py probe   WORK dift_geo/weights/tiny_keypoints

No labels by people: the network learns to give a picture and a synthetic view of it the same peaks
(after R2D2, Revaud et al. 2019), to tell those that the other view has as well, an angle that turns
with the picture, and, from `label` on, which keypoints the descriptor of the embedded diffusion
model matches right. `prepare` needs a Debian machine; the pictures are those of `train_tiny.py`.
`train` may be killed and started again: it goes on from WORK/keypoints.pt and appends to
WORK/keypoints.jsonl. `probe` scores an exported detector on pictures that were kept back.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from keypoint_losses import Losses, losses_of
from keypoint_views import KEYPOINTS, Labelled, Pictures, label_views, labelled_crops, view_pairs
from safetensors.torch import save_file
from tiny_patches import PACKAGES, SPLIT, list_pictures
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dift_geo.backends.tiny import Tiny
from dift_geo.detectors.contract import Detector
from dift_geo.detectors.sift import Sift
from dift_geo.detectors.tiny import TinyKeypoints
from dift_geo.detectors.tiny_network import KeypointNetwork
from dift_geo.dift.describer import Dift
from dift_geo.dift.views import mma, synthetic_view
from dift_geo.images import read_image, resize_longest

WEIGHTS = "keypoints.safetensors"
PROBED = 20  # pictures
LABELS_COUNT = 0.3  # beside the losses of views


def for_training() -> KeypointNetwork:
    """The network with batch normalisation after each convolution that a ReLU follows."""
    network = KeypointNetwork()
    for block in _blocks(network):
        block.insert(1, nn.BatchNorm2d(block[0].out_channels))
    return network.to(memory_format=torch.channels_last)


def fused(trained: KeypointNetwork) -> KeypointNetwork:
    """What `for_training` made, with its normalisation in the convolutions; changes it."""
    for block in _blocks(trained.eval()):
        block[0] = fuse_conv_bn_eval(block[0], block[1])
        del block[1]
    return trained


def _blocks(network: nn.Module) -> list[nn.Sequential]:
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d)
    ]


class Training:
    """A network and its optimiser, as far as WORK/keypoints.pt has them."""

    def __init__(self, work: Path, lr: float) -> None:
        self.file, self.lr = work / "keypoints.pt", lr
        self.network = for_training()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=lr, weight_decay=1e-4)
        self.step, self.seconds = 0, 0.0
        if self.file.exists():
            saved = torch.load(self.file, weights_only=True)
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds = saved["step"], saved["seconds"]
            print(f"resumed at step {self.step} after {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        parts = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(parts, f"{self.file}.part")
        os.replace(f"{self.file}.part", self.file)

    def learn(
        self, pictures: Pictures, labelled: list[Labelled], batch: int, seed: int, spent: float
    ) -> tuple[Losses, float]:
        """One step; the learning rate falls from `lr` to 0 as `spent` goes from 0 to 1."""
        random = np.random.default_rng((seed, self.step))
        warm, falling = min(1.0, (self.step + 1) / 100), 0.5 * (1 + math.cos(math.pi * spent))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * warm * max(falling, 1e-3)
        crops, views, H = view_pairs(pictures, batch, random)
        maps0, maps1 = self._maps(torch.cat([crops, views])).chunk(2)
        losses = losses_of(maps0, maps1, H)
        total, beside = losses.total, 0.0
        if labelled:
            shown, places, targets = labelled_crops(labelled, 2 * batch, random)
            logits = [one[1, xy[:, 1], xy[:, 0]] for one, xy in zip(self._maps(shown), places)]
            loss = F.binary_cross_entropy_with_logits(torch.cat(logits), torch.cat(targets))
            total, beside = total + LABELS_COUNT * loss, float(loss.detach())
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return losses, beside

    def _maps(self, shown: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.network(shown.contiguous(memory_format=torch.channels_last))
        return maps


def train(work: Path, minutes: float, batch: int, lr: float, seed: int) -> None:
    """Train until `minutes` in all are over, across restarts."""
    torch.manual_seed(seed)
    pictures, training = Pictures(work), Training(work, lr)
    labels = work / "labels.pkl"
    labelled = pickle.loads(labels.read_bytes()) if labels.exists() else []
    clock = saved = time.monotonic()
    while training.seconds < 60 * minutes:
        spent = min(1.0, training.seconds / (60 * minutes))
        losses, beside = training.learn(pictures, labelled, batch, seed, spent)
        now = time.monotonic()
        training.seconds += now - clock
        clock = now
        if training.step % 50 == 0:
            _log(work, training, losses, beside)
        if now - saved > 60:
            training.save()
            saved = now
    training.save()


def _log(work: Path, training: Training, losses: Losses, beside: float) -> None:
    parts = {
        name: round(float(torch.as_tensor(value)), 4)
        for name, value in {**vars(losses), "labels": beside}.items()
    }
    record = {"step": training.step, "seconds": round(training.seconds), **parts}
    with (work / "keypoints.jsonl").open("a") as log:
        log.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)


def label(work: Path, minutes: float, seed: int) -> None:
    """Write WORK/labels.pkl: keypoints of the network so far, and which of them `dift` matches."""
    export(work, work)
    detector = TinyKeypoints(KEYPOINTS, work / WEIGHTS)
    labelled: list[Labelled] = []
    until = time.monotonic() + 60 * minutes
    for pair in label_views(Pictures(work), detector, seed):
        labelled += pair
        if time.monotonic() > until:
            break
    (work / "labels.pkl").write_bytes(pickle.dumps(labelled))
    right = np.concatenate([one.right for one in labelled])
    print(f"{len(labelled)} pictures, {len(right)} keypoints, {right.mean():.1%} matched right")


def export(work: Path, target: Path) -> None:
    """Write the weights for `--detector tiny:FILE`, batch normalisation in the convolutions."""
    network = for_training()
    network.load_state_dict(torch.load(work / "keypoints.pt", weights_only=True)["network"])
    target.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in fused(network).state_dict().items()},
        target / WEIGHTS,
    )


def probe(work: Path, target: Path, seed: int) -> dict[str, dict[str, float]]:
    """MMA@3px and right matches of `dift` at 500 keypoints, the detector's and SIFT's, on views of
    pictures that were kept back.
    """
    names = (work / "images.txt").read_text().splitlines()[::SPLIT][:PROBED]
    model = Tiny()
    config = model.settings("oriented", "default")
    detectors: dict[str, Detector] = {
        "sift": Sift(500),
        "tiny": TinyKeypoints(500, target / WEIGHTS),
    }
    rows = {}
    for name, detector in detectors.items():
        dift, random, scores = Dift(model, detector, config), np.random.default_rng(seed), []
        for picture in names:
            image = resize_longest(read_image(work / "packages" / picture), 480)
            view, H = synthetic_view(image, random)
            first, second = dift.extract(image, "image"), dift.extract(view, "view")
            kept = first.keypoints, second.keypoints, first.descriptors, second.descriptors
            scores.append(mma(*kept, H))
        share, right = np.mean(scores, axis=0)
        rows[name] = {"mma@3px": round(float(share), 3), "correct": round(float(right), 1)}
    print(json.dumps(rows))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("prepare")
    p.add_argument("work", type=Path)
    p.add_argument("--packages", nargs="*", default=list(PACKAGES))
    p = commands.add_parser("train")
    p.add_argument("work", type=Path)
    p.add_argument("--minutes", type=float, default=60, help="training in all, restarts included")
    p.add_argument("--batch", type=int, default=4, help="pictures, each with a view")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--seed", type=int, default=0)
    p = commands.add_parser("label")
    p.add_argument("work", type=Path)
    p.add_argument("--minutes", type=float, default=15)
    p.add_argument("--seed", type=int, default=0)
    for name in ("export", "probe"):
        p = commands.add_parser(name)
        p.add_argument("work", type=Path)
        p.add_argument("target", type=Path)
        if name == "probe":
            p.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args(argv))
    command = options.pop("command")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    if command == "prepare":
        options["work"].mkdir(parents=True, exist_ok=True)
        list_pictures(**options)
    else:
        {"train": train, "label": label, "export": export, "probe": probe}[command](**options)


if __name__ == "__main__":
    main()
