"""Camera poses: how far one is from the truth. Poses are `cam_from_world`, (3, 4). Knows no images
and no matches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["pose_error"]


def pose_error(
    cam_from_world: NDArray[np.float64], true_cam_from_world: NDArray[np.float64]
) -> tuple[float, float]:
    """(distance of the camera centres in the poses' units, angle between the orientations in
    degrees).
    """
    R, R_true = cam_from_world[:, :3], true_cam_from_world[:, :3]
    distance = np.linalg.norm(R.T @ cam_from_world[:, 3] - R_true.T @ true_cam_from_world[:, 3])
    # of half the angle; keeps digits where arccos loses them
    sine = np.linalg.norm(R @ R_true.T - np.eye(3)) / np.sqrt(8)
    return float(distance), float(np.rad2deg(2 * np.arcsin(min(1.0, sine))))
