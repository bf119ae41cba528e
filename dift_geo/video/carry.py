"""Masks carried through a video by a mapper, frame by frame. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.backends.tasks import Propagation
from dift_geo.errors import InputError
from dift_geo.mapper import Mapper
from dift_geo.video.track import Tracker, mask_of, one_hot, shown, shown_size

__all__ = ["carried_masks"]


def carried_masks(
    frames: Iterable[tuple[str, NDArray[np.uint8]]],
    first: NDArray[np.uint8],
    mapper: Mapper,
    settings: Propagation | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """(H, W) numbers of objects in every frame, the first frame's being `first` itself.

    frames: name, which seeds noise, and (H, W, 3) uint8 RGB of each, all of one size.
    first: (H, W) numbers of the objects in the first of them.
    mapper: makes the features; one that looks at nothing copies the first mask.
    settings: how labels are carried; None is as suits the mapper.
    Raises InputError where mask and frames differ in size.
    """
    settings = settings or mapper.propagation()
    size_wh = (first.shape[1], first.shape[0])
    tracker: Tracker | None = None
    for name, frame in frames:
        if frame.shape[:2] != first.shape:
            raise InputError(
                f"frame {name} is {frame.shape[1]} x {frame.shape[0]}, "
                f"expected {size_wh[0]} x {size_wh[1]} as the first mask"
            )
        if mapper.still:
            yield first
            continue
        with torch.inference_mode():
            values = mapper.frame(shown(frame, settings), name).cpu()
            if tracker is None:
                grid = (values.shape[1], values.shape[2])
                tracker = Tracker(values, one_hot(first, grid), settings)
                found = first
            else:
                labels = tracker.step(values)
                found = mask_of(labels, shown_size(size_wh, settings), size_wh)
        yield found
