"""Synthetic views of photos: pictures whose correspondences are known without labels.

Photos are warped by random homographies and changed photometrically. Knows no descriptors but as
rows to be matched, and no files.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.geometry.homography import transfer_error_px, warp_points
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.types import Keypoints

__all__ = ["correspondences", "mma", "synthetic_view"]

MAX_TURN_COS = np.cos(np.deg2rad(30))


def synthetic_view(
    image: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Another view of (H, W, 3) RGB: (view of the same size, H_view_from_image).

    Rotation within 35 degrees, scale 0.6 to 1.6, tilt by perspective; then gamma, contrast, channel
    gains, blur, noise, JPEG.
    """
    h, w = image.shape[:2]
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    angle = np.deg2rad(random.uniform(-35, 35))
    scale = np.exp(random.uniform(np.log(0.6), np.log(1.6)))
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tilt = random.uniform(0, np.pi)
    axes = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    squeeze = axes @ np.diag([random.uniform(0.5, 1), 1]) @ axes.T
    H = np.eye(3)
    H[:2, :2] = rotation @ squeeze
    H[2, :2] = random.uniform(-0.25, 0.25, 2) / (w, h)
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = -centre, centre + random.uniform(-0.1, 0.1, 2) * (w, h)
    H = back @ H @ to
    warped = cv2.warpPerspective(
        image, H, (w, h), flags=cv2.INTER_AREA if scale < 0.8 else cv2.INTER_LINEAR
    )
    return _another_light(np.asarray(warped, np.uint8), random), H / H[2, 2]


def _another_light(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    pixels = (image.astype(np.float32) / 255) ** np.exp(random.uniform(-0.6, 0.6))
    pixels = pixels * random.uniform(0.6, 1.3) * np.exp(random.normal(0, 0.08, 3)) + random.uniform(
        -0.12, 0.12
    )
    if random.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), random.uniform(0.3, 1.8))
    pixels = pixels + random.normal(0, random.uniform(0, 0.03), pixels.shape)
    changed = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
    if random.random() < 0.5:
        _, data = cv2.imencode(
            ".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(40, 95))]
        )
        changed = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)
    return changed


def correspondences(
    keypoints0: Keypoints,
    keypoints1: Keypoints,
    H_1_from_0: NDArray[np.float64],
    max_error_px: float = 2.0,
) -> NDArray[np.int64]:
    """(M, 2) int64 indices of keypoints that show the same point under H.

    They are mutually nearest in place. Where both have scale and angle, these must agree with the
    local affine part of H to half an octave and 30 degrees.
    """
    if not len(keypoints0) or not len(keypoints1):
        return np.zeros((0, 2), np.int64)
    carried = warp_points(H_1_from_0, keypoints0.xy)  # (N, 2)
    distance = np.linalg.norm(carried[:, None] - keypoints1.xy[None], axis=2)  # (N, M)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    if keypoints0.scale is not None and keypoints1.scale is not None:
        distance = np.where(_alike(keypoints0, keypoints1, H_1_from_0), distance, np.inf)
    nearest = distance.argmin(1)
    rows = np.arange(len(distance))
    keep = (distance[rows, nearest] < max_error_px) & (distance.argmin(0)[nearest] == rows)
    return np.stack([rows, nearest], 1)[keep]


def _alike(
    keypoints0: Keypoints, keypoints1: Keypoints, H_1_from_0: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(N, M): whether scale and angle agree with the local affine part of H."""
    assert keypoints0.scale is not None
    assert keypoints0.angle is not None
    assert keypoints1.scale is not None
    assert keypoints1.angle is not None
    step = np.stack([np.cos(keypoints0.angle), np.sin(keypoints0.angle)], 1) * 0.5
    sideways = step[:, ::-1] * (-1, 1)
    along, across = (
        warp_points(H_1_from_0, keypoints0.xy + way) - warp_points(H_1_from_0, keypoints0.xy - way)
        for way in (step, sideways)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0])
        scales = keypoints0.scale * np.sqrt(area)
        octaves = np.log2(scales)[:, None] - np.log2(keypoints1.scale)[None]
        turn = np.arctan2(along[:, 1], along[:, 0])[:, None] - keypoints1.angle[None]
        alike: NDArray[np.bool_] = (np.abs(octaves) < 0.5) & (np.cos(turn) > MAX_TURN_COS)
    return alike


def mma(
    keypoints0: Keypoints,
    keypoints1: Keypoints,
    descriptors0: NDArray[np.float32],
    descriptors1: NDArray[np.float32],
    H_1_from_0: NDArray[np.float64],
    max_error_px: float = 3.0,
) -> tuple[float, int]:
    """Share and number of mutual nearest neighbours within `max_error_px` of the truth; (0, 0)
    without matches.
    """
    pairs = match_mutual_nn(descriptors0, descriptors1).pairs
    if not len(pairs):
        return 0.0, 0
    correct = (
        transfer_error_px(H_1_from_0, keypoints0.xy[pairs[:, 0]], keypoints1.xy[pairs[:, 1]])
        <= max_error_px
    )
    return float(correct.mean()), int(correct.sum())
