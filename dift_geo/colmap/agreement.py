"""How far two models of the same photos differ, by relative poses: no alignment, no scale.

Knows poses by image name; no COLMAP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dift_geo.geometry.pose import angle_deg, relative_pose, rotation_angle_deg

__all__ = ["Poses", "disagreements_deg", "quantile_deg"]

Poses = Mapping[str, NDArray[np.float64]]  # (3, 4) cam_from_world, by image name
# of the middle one; two photos from closer places have no direction that could differ
SHORT_BASELINE = 0.02


def disagreements_deg(poses: Poses, others: Sequence[Poses]) -> dict[tuple[str, str], float]:
    """For each pair of images, the middle one of the differences to other models that have both.

    A difference is the larger of the angle between the rotations and the angle between the
    directions of translation, in degrees; of an even number the lower middle one, so that a model
    that one of two others bears out is not doubted for the second. Pairs that no other model has
    are left out.
    """
    pairs = list(combinations(sorted(poses), 2))
    own = {pair: relative_pose(poses[pair[0]], poses[pair[1]]) for pair in pairs}
    lengths = [float(np.linalg.norm(pose[:, 3])) for pose in own.values()]
    shortest = SHORT_BASELINE * float(np.median(lengths)) if lengths else 0.0
    found: dict[tuple[str, str], float] = {}
    for a, b in pairs:
        differences = sorted(
            _difference_deg(own[a, b], relative_pose(other[a], other[b]), shortest)
            for other in others
            if a in other and b in other
        )
        if differences:
            found[a, b] = differences[(len(differences) - 1) // 2]
    return found


def _difference_deg(own: NDArray, theirs: NDArray, shortest: float) -> float:
    turned = rotation_angle_deg(own[:, :3] @ theirs[:, :3].T)
    if np.linalg.norm(own[:, 3]) <= shortest or not theirs[:, 3].any():
        return turned
    return max(turned, angle_deg(own[:, 3], theirs[:, 3]))


def quantile_deg(disagreements: Mapping[tuple[str, str], float], share: float) -> float | None:
    """The difference that a share of the pairs stays below; None where there are no pairs."""
    if not disagreements:
        return None
    return float(np.quantile(list(disagreements.values()), share))
