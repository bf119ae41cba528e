"""What `train_keypoints.py` trains on: crops of pictures, views of them, and which keypoints the
descriptor of the embedded model matches right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tiny_patches import SPLIT

from dift_geo.backends.tiny import Tiny
from dift_geo.detectors.levels import SCALE_PX, STEP
from dift_geo.detectors.tiny import TinyKeypoints
from dift_geo.detectors.tiny_network import without_light
from dift_geo.dift.describer import Dift
from dift_geo.dift.views import synthetic_view
from dift_geo.geometry.homography import warp_points
from dift_geo.images import luma_of, read_image, resize_longest
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.types import Keypoints

__all__ = [
    "KEYPOINTS",
    "SIDE",
    "Labelled",
    "Pictures",
    "label_views",
    "labelled_crops",
    "view_pairs",
]

SIDE = 224  # of a crop, pixels
LONGEST = 1200  # of a picture
VIEW_HW = (400, 520)  # of pictures whose keypoints are labelled
KEYPOINTS = 600  # of them
CORRECT_PX = 3.0
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Pictures:
    """Training pictures of a work folder that `train_tiny.py prepare` filled; every 40th is left
    out.
    """

    def __init__(self, work: Path) -> None:
        names = (work / "images.txt").read_text().splitlines()
        self._files = [
            work / "packages" / name for index, name in enumerate(names) if index % SPLIT
        ]
        self._read = cache(lambda index: resize_longest(read_image(self._files[index]), LONGEST))

    def crop(
        self,
        size_hw: tuple[int, int],
        random: np.random.Generator,
        enlarged: float,
        smallest: float,
    ) -> NDArray[np.uint8]:
        """(H, W, 3) RGB out of a random picture at a random size, with something to see.

        enlarged: how much a picture may be enlarged.
        smallest: how much it may be reduced, where it is large enough.
        """
        h, w = size_hw
        while True:
            image = self._read(int(random.integers(len(self._files))))
            least = max(h / image.shape[0], w / image.shape[1])
            if least > enlarged:
                continue
            factor = np.exp(random.uniform(np.log(max(least, smallest)), np.log(max(1.0, least))))
            size_wh = [max(round(n * factor), m) for n, m in zip(image.shape[1::-1], (w, h))]
            image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
            y, x = (int(random.integers(n - m + 1)) for n, m in zip(image.shape, size_hw))
            crop = np.ascontiguousarray(image[y : y + h, x : x + w])
            if luma_of(crop).std() > 0.02:
                return crop


def turned_view(
    image: NDArray[np.uint8], random: np.random.Generator, turns: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """`synthetic_view`, and some quarters of a turn besides."""
    view, H = synthetic_view(image, random)
    for _ in range(turns):
        quarter = np.array([[0, 1, 0], [-1, 0, view.shape[1] - 1], [0, 0, 1]])
        view, H = np.ascontiguousarray(np.rot90(view)), quarter @ H
    return view, H


def view_pairs(pictures: Pictures, batch: int, random: np.random.Generator) -> Batch:
    """(B, 1, S, S) crops, (B, 1, S, S) views of them, both without light, and (B, 3, 3) H."""
    crops, views, homographies = [], [], []
    for _ in range(batch):
        crop = pictures.crop((SIDE, SIDE), random, enlarged=1.6, smallest=0.35)
        crop = np.ascontiguousarray(np.rot90(crop, random.integers(4)))
        view, H = turned_view(crop, random, int(random.integers(4)))
        crops.append(without_light(luma_of(crop)))
        views.append(without_light(luma_of(view)))
        homographies.append(H)
    first, second = (torch.from_numpy(np.stack(each))[:, None] for each in (crops, views))
    return first, second, torch.from_numpy(np.stack(homographies)).float()


@dataclass(frozen=True)
class Labelled:
    """A picture and its keypoints that another view shows too.

    luma: (H, W) float32 in [0, 1].
    xy, level: (N, 2) pixels, and at which size of the picture each was found.
    right: (N,) whether `dift` matched it to the same point of the other view.
    """

    luma: NDArray[np.float32]
    xy: NDArray[np.float32]
    level: NDArray[np.int64]
    right: NDArray[np.bool_]


def label_views(
    pictures: Pictures, detector: TinyKeypoints, seed: int
) -> Iterator[tuple[Labelled, Labelled]]:
    """Endless pairs of views; half of them are turned by quarters as well."""
    model = Tiny()
    dift = Dift(model, None, model.settings("oriented", "default"))
    random = np.random.default_rng(seed)
    while True:
        image = pictures.crop(VIEW_HW, random, enlarged=1.0, smallest=0.35)
        turns = int(random.integers(4)) if random.random() < 0.5 else 0
        view, H = turned_view(image, random, turns)
        found = [detector.detect(each) for each in (image, view)]
        if min(map(len, found)) < 50:
            continue
        rows = [dift.describe(*each) for each in zip((image, view), found, ("image", "view"))]
        pairs = match_mutual_nn(*rows).pairs
        yield (
            _labelled(image, found[0], found[1], H, pairs),
            _labelled(view, found[1], found[0], np.linalg.inv(H), pairs[:, ::-1]),
        )


def _labelled(
    image: NDArray[np.uint8],
    keypoints: Keypoints,
    others: Keypoints,
    H: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> Labelled:
    assert keypoints.scale is not None
    there = warp_points(H, keypoints.xy)
    inside = ((there > 8) & (there < np.array(others.size_wh) - 9)).all(1)
    apart = np.linalg.norm(there[pairs[:, 0]] - others.xy[pairs[:, 1]], axis=1)
    right = np.zeros(len(keypoints), bool)
    right[pairs[apart <= CORRECT_PX, 0]] = True
    level = np.log(keypoints.scale / SCALE_PX) / np.log(STEP)
    return Labelled(
        luma_of(image), keypoints.xy[inside], level.round().astype(int)[inside], right[inside]
    )


def labelled_crops(
    labelled: Sequence[Labelled], batch: int, random: np.random.Generator
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """(B, 1, S, S) crops at the size at which their keypoints were found; of each crop the pixels
    (N, 2) of these and whether they were matched right.
    """
    crops, places, targets = [], [], []
    while len(crops) < batch:
        one = labelled[random.integers(len(labelled))]
        if not len(one.xy):
            continue
        level = int(one.level[random.integers(len(one.level))])
        factor = STEP**-level
        h, w = one.luma.shape
        size_wh = round(w * factor), round(h * factor)
        small = cv2.resize(one.luma, size_wh, interpolation=cv2.INTER_AREA) if level else one.luma
        below, right = (max(SIDE - n, 0) for n in small.shape)
        small = np.pad(without_light(np.asarray(small, np.float32)), ((0, below), (0, right)))
        y, x = (int(random.integers(n - SIDE + 1)) for n in small.shape)
        mine = one.level == level
        xy = (one.xy[mine] + 0.5) * np.divide(size_wh, (w, h)) - 0.5 - (x, y)
        inside = ((xy > 8) & (xy < SIDE - 9)).all(1)
        if inside.any():
            crops.append(small[y : y + SIDE, x : x + SIDE])
            places.append(torch.from_numpy(xy[inside].round()).long())
            targets.append(torch.from_numpy(one.right[mine][inside]).float())
    return torch.from_numpy(np.stack(crops))[:, None], places, targets
