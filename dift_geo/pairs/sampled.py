"""A sample of the descriptors of many images, and their principal axes. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.types import FeatureSource

__all__ = ["principal_axes", "sample_descriptors"]

MOST_IMAGES = 1000  # read for a sample; of more images these are drawn at random


def sample_descriptors(
    features: FeatureSource, names: Sequence[str], most: int, seed: int
) -> NDArray[np.float32]:
    """At most `most` descriptors (N, D), as many of each image as can be, drawn at random.

    Raises InputError where there are none, or descriptors of two kinds.
    """
    random = np.random.default_rng(seed)
    chosen: Sequence[str] = list(names)
    if len(names) > MOST_IMAGES:
        chosen = [names[i] for i in np.sort(random.permutation(len(names))[:MOST_IMAGES])]
    share = max(1, most // max(1, len(chosen)))
    parts = []
    for name in chosen:
        rows = features[name].descriptors
        if len(rows) and rows.shape[1]:
            parts.append(rows[np.sort(random.permutation(len(rows))[:share])])
    if not parts:
        raise InputError(
            f"none of the {len(names)} images has descriptors, expected some to compare images by; "
            "choose pairs in another way"
        )
    if len({part.shape[1] for part in parts}) > 1:
        raise InputError(
            "descriptors of different images have different lengths; describe all alike"
        )
    return np.concatenate(parts)


def principal_axes(
    sample: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(mean (D,), axes (D, C)) of the `count` directions in which a sample varies most.

    C is less than `count` where D is. The sign of an axis is such that its largest number is
    positive.
    """
    mean = sample.mean(0, dtype=np.float64)
    centred = sample - mean
    _, axes = np.linalg.eigh(centred.T @ centred)  # the largest last
    axes = axes[:, ::-1][:, :count]
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return mean.astype(np.float32), (axes * signs).astype(np.float32)
