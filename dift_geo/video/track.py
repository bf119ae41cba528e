"""Labels through a video: the first frame's are known, every next frame takes them from the first
and the last few. Knows neither files nor scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.tasks import Propagation, Rule
from dift_geo.errors import InputError
from dift_geo.matching.propagate import DINO, WALK, Neighbours, as_context, propagate

__all__ = ["Tracker", "mask_of", "one_hot", "shown", "shown_size"]

NEIGHBOURS: Mapping[Rule, Neighbours] = {"dino": DINO, "walk": WALK}


class Tracker:
    """Carries labels from frame to frame.

    first: (C, h, w) features of the first frame.
    labels: (K, h, w) its labels.
    settings: how they are carried.
    """

    def __init__(self, first: Tensor, labels: Tensor, settings: Propagation) -> None:
        self.settings = settings
        self._first = (as_context(first), labels)
        copies = settings.frames if settings.rule == "walk" else 0
        self._last: deque[tuple[Tensor, Tensor]] = deque(
            [self._first] * copies, maxlen=settings.frames
        )

    def step(self, values: Tensor) -> Tensor:
        """(K, h, w) labels of the next frame, whose features are (C, h, w)."""
        target = as_context(values)
        contexts, labels = zip(self._first, *self._last)
        found = propagate(
            target,
            contexts,
            labels,
            temperature=self.settings.temperature,
            top_k=self.settings.top_k,
            radius=self.settings.radius,
            neighbours=NEIGHBOURS[self.settings.rule],
        )
        self._last.append((target, found))
        return found


def shown_size(size_wh: tuple[int, int], settings: Propagation) -> tuple[int, int]:
    """(width, height) in which the models see a frame: the short side as set, the long side in
    proportion and cut to a multiple. Raises InputError where nothing is left.
    """
    w, h = size_wh
    short, multiple = settings.short_side, settings.multiple
    long = int((short * max(w, h) / min(w, h)) // multiple * multiple)
    if not long:
        raise InputError(
            f"short_side is {short}, but a long side of {w} x {h} then has less than the "
            f"{multiple} pixels that the model takes at least; set a larger one"
        )
    return (short, long) if h > w else (long, short)


def shown(frame: NDArray[np.uint8], settings: Propagation) -> NDArray[np.uint8]:
    """(H, W, 3) in that size."""
    size_wh = shown_size((frame.shape[1], frame.shape[0]), settings)
    return np.asarray(cv2.resize(frame, size_wh), np.uint8)


def one_hot(mask: NDArray[np.uint8], grid_hw: tuple[int, int]) -> Tensor:
    """(K, h, w) float32: a map for the background and each object, on a grid of cells."""
    from PIL import Image

    small = Image.fromarray(mask).resize(grid_hw[::-1], Image.Resampling.NEAREST)
    index = torch.from_numpy(np.array(small)).long()
    return F.one_hot(index).permute(2, 0, 1).float()


def mask_of(
    labels: Tensor, shown_wh: tuple[int, int], size_wh: tuple[int, int]
) -> NDArray[np.uint8]:
    """(H, W) numbers of objects in a frame of `size_wh`, of (K, h, w) labels.

    Labels are brought to the size that the models saw, each stretched over 0 to 1, and the largest
    wins; its number is brought to the frame's size.
    """
    from PIL import Image

    large = F.interpolate(labels[None], shown_wh[::-1], mode="bilinear", align_corners=False)[0]
    flat = large.flatten(1)
    low = torch.where(flat.amax(1) > 0, flat.amin(1), 0)
    lifted = large - low[:, None, None]
    high = lifted.flatten(1).amax(1)
    # a map that is the same everywhere counts as 0
    scaled = lifted / torch.where(high > 0, high, 1)[:, None, None]
    winner = scaled.argmax(0).to(torch.uint8).cpu().numpy()
    return np.asarray(Image.fromarray(winner).resize(size_wh, Image.Resampling.NEAREST))
