"""Fit the closed-form projection on a user's own photos, and say honestly what it gained.

Photos are warped by random homographies and changed photometrically; keypoints are detected again
in each view, so that pairs carry the detector's own noise in place, scale and angle. Knows no files
but photos.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.errors import InputError
from dift_geo.geometry.homography import transfer_error_px, warp_points
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.types import Keypoints

__all__ = ["Calibration", "calibrate", "correspondences", "mma", "synthetic_view"]

logger = logging.getLogger(__name__)
HOLD_BACK = 5  # every fifth photo measures, the others fit
MEASURED = 20  # photos held back at most
ENOUGH_PAIRS = 60_000  # beyond, the covariances hardly change


@dataclass(frozen=True)
class Calibration:
    """pairs: corresponding descriptors fitted on. held_back: views of photos not fitted on. mma_*:
    MMA@3px there, in [0, 1].
    """

    projection: Projection
    pairs: int
    held_back: int
    mma_before: float
    mma_after: float


def synthetic_view(
    image: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Another view of (H, W, 3) RGB: (view of the same size, H_view_from_image).

    Rotation within 35 degrees, scale 0.6 to 1.6, tilt by perspective; then gamma, contrast, channel
    gains, blur, noise, JPEG.
    """
    h, w = image.shape[:2]
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    angle, scale = (
        np.deg2rad(random.uniform(-35, 35)),
        np.exp(random.uniform(np.log(0.6), np.log(1.6))),
    )
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
    """(M, 2) indices of keypoints that show the same point under H: mutually nearest in place,
    alike in frame.

    Where both have scale and angle, these must agree with the local affine part of H to half an
    octave and 30 degrees.
    """
    if not len(keypoints0) or not len(keypoints1):
        return np.zeros((0, 2), np.int64)
    carried = warp_points(H_1_from_0, keypoints0.xy)  # (N, 2)
    distance = np.linalg.norm(carried[:, None] - keypoints1.xy[None], axis=2)  # (N, M)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    if keypoints0.scale is not None and keypoints1.scale is not None:
        assert keypoints0.angle is not None
        assert keypoints1.angle is not None
        step = np.stack([np.cos(keypoints0.angle), np.sin(keypoints0.angle)], 1) * 0.5
        along = warp_points(H_1_from_0, keypoints0.xy + step) - warp_points(
            H_1_from_0, keypoints0.xy - step
        )
        across = warp_points(H_1_from_0, keypoints0.xy + step[:, ::-1] * (-1, 1))
        across = across - warp_points(H_1_from_0, keypoints0.xy - step[:, ::-1] * (-1, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0])
            octaves = (
                np.log2(keypoints0.scale * np.sqrt(area))[:, None] - np.log2(keypoints1.scale)[None]
            )
            turn = np.arctan2(along[:, 1], along[:, 0])[:, None] - keypoints1.angle[None]
            alike = (np.abs(octaves) < 0.5) & (np.cos(turn) > np.cos(np.deg2rad(30)))
        distance = np.where(alike, distance, np.inf)
    nearest = distance.argmin(1)
    rows = np.arange(len(distance))
    keep = (distance[rows, nearest] < max_error_px) & (distance.argmin(0)[nearest] == rows)
    return np.stack([rows, nearest], 1)[keep]


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


@dataclass(frozen=True)
class _View:
    """A photo's keypoints and raw descriptors, a synthetic view of it and the keypoints there."""

    keypoints0: Keypoints
    raw0: NDArray[np.float32]
    image1: NDArray[np.uint8]
    keypoints1: Keypoints
    name1: str
    H_1_from_0: NDArray[np.float64]


def _views(
    images: Path, names: Sequence[str], dift: Dift, per_image: int, seed: int
) -> Iterator[_View]:
    for index, name in enumerate(names):
        try:
            image = resize_longest(read_image(images / name), dift.size)
        except (OSError, ValueError) as error:
            logger.warning("skipped: %s", error)
            continue
        keypoints0 = dift.detector.detect(image)
        raw0 = dift.raw_descriptors(image, keypoints0, name)
        for view in range(per_image):
            random = np.random.default_rng((seed, index, view))
            image1, H = synthetic_view(image, random)
            yield _View(keypoints0, raw0, image1, dift.detector.detect(image1), f"{name}#{view}", H)


def calibrate(
    images: str | Path,
    dift: Dift,
    *,
    names: Sequence[str] | None = None,
    dim: int | None = None,
    views: int = 0,
    ridge: float = 1e-3,
    constant: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit a projection for `dift` (its own projection is not used) on the photos below `images`.

    names: which of them; by default all. views: synthetic views per photo; 0 takes as many as give
    some tens of thousands of pairs. dim, constant: of `Projection`; by default 128 and 2, or 256
    and 4 where another describer stands beside: then there is more to keep. Every fifth photo, up
    to 20 of them, only measures. Raises ValueError when there are fewer than two photos or too few
    keypoints.
    """
    images = Path(images)
    names = list_images(images) if names is None else names
    if len(names) < 2:
        raise InputError(
            f"{images} holds {len(names)} image(s), expected at least 2 to calibrate on"
        )
    held_back = names[::HOLD_BACK][:MEASURED]
    fitted_on = [name for name in names if name not in set(held_back)]
    statistics = PairStatistics()
    per_image = views or max(2, min(40, round(200 / len(fitted_on))))
    progress = tqdm(
        _views(images, fitted_on, dift, per_image, seed),
        "fit",
        total=len(fitted_on) * per_image,
        unit="view",
    )
    for view in progress:
        pairs = correspondences(view.keypoints0, view.keypoints1, view.H_1_from_0)
        again = dift.raw_descriptors(view.image1, view.keypoints1[pairs[:, 1]], view.name1)
        statistics.add(view.raw0[pairs[:, 0]], again)
        if statistics.count >= ENOUGH_PAIRS:
            break
    about = {
        "config": repr(dift.config),
        "backend": str(dift.backend.recipe()),
        "pairs": str(statistics.count),
    }
    if dift.beside is not None:
        about["beside"] = str(dift.beside.recipe())
    usual = (128, 2.0) if dift.beside is None else (256, 4.0)
    dim, constant = (usual[0] if dim is None else dim), (usual[1] if constant is None else constant)
    projection = statistics.projection(dim, ridge, about, constant)
    scores = []
    for view in _views(images, held_back, dift, 3, seed + 1):
        raw1 = dift.raw_descriptors(view.image1, view.keypoints1, view.name1)
        rows = ((view.raw0, raw1), (projection.apply(view.raw0), projection.apply(raw1)))
        scores.append(
            [mma(view.keypoints0, view.keypoints1, *pair, view.H_1_from_0)[0] for pair in rows]
        )
    if not scores:
        raise InputError(f"no held-back photo of {images} can be read, expected at least one")
    before, after = np.mean(scores, axis=0)
    return Calibration(projection, statistics.count, len(scores), float(before), float(after))
