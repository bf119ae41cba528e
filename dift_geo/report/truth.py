"""Poses of a model against true ones, for its page. Knows poses by name and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.geometry.curves import auc
from dift_geo.geometry.pose import relative_pose_errors_deg

__all__ = ["AUC_DEG", "Truth", "compare_poses"]

AUC_DEG = (1, 3, 5, 10)
Poses = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Truth:
    """How far relative poses are from the true ones, in degrees.

    photos: how many have a true pose.
    pairs: of them.
    failed: pairs of which a photo is not registered.
    median_deg: of the others' errors.
    auc: area under the recall curve up to each of AUC_DEG; pairs that failed count as wrong.
    median_by_photo: of the pairs that a photo is in; None where it is not registered.
    """

    photos: int
    pairs: int
    failed: int
    median_deg: float
    auc: Mapping[int, float]
    median_by_photo: Mapping[str, float | None]


def compare_poses(found: Poses, true: Poses) -> Truth:
    """Compare by relative poses, which need no alignment of the worlds and no scale.

    found, true: cam_from_world (3, 4) by image name.

    Raises InputError where the names of two photos at least do not agree.
    """
    shared = [name for name in true if name in found]
    if len(shared) < 2:
        raise InputError(
            f"{len(shared)} photos of the model have a true pose, expected 2 or more; the truth "
            f"names {', '.join(sorted(true)[:3])}, ..., the model {', '.join(sorted(found)[:3])}"
        )
    errors = relative_pose_errors_deg(found, true)
    by_photo: dict[str, list[float]] = {name: [] for name in true}
    for pair, error in zip(combinations(sorted(true), 2), errors):
        if all(name in found for name in pair):
            for name in pair:
                by_photo[name].append(error)
    known = [error for of_photo in by_photo.values() for error in of_photo]  # each one twice
    return Truth(
        photos=len(true),
        pairs=len(errors),
        failed=len(errors) - len(known) // 2,
        median_deg=float(np.median(known)),
        auc=dict(zip(AUC_DEG, auc(errors, AUC_DEG))),
        median_by_photo={n: float(np.median(e)) if e else None for n, e in by_photo.items()},
    )
