"""Fit the closed-form projection on a user's own photos, and say honestly what it gained.

Photos are warped by random homographies and changed photometrically; keypoints are detected again
in each view, so that pairs carry the detector's own noise in place, scale and angle. Knows no files
but photos.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Detector
from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.dift.views import correspondences, mma, synthetic_view
from dift_geo.errors import InputError, MissingFileError, MissingNameError
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.progress import progress
from dift_geo.types import Keypoints

__all__ = ["Calibration", "calibrate"]

logger = logging.getLogger(__name__)
HOLD_BACK = 5  # every fifth photo measures, the others fit
MEASURED = 20  # photos held back at most
ENOUGH_PAIRS = 60_000  # beyond, the covariances hardly change


@dataclass(frozen=True)
class Calibration:
    """A fitted projection and what it gained.

    projection: the fit.
    pairs: corresponding descriptors it was fitted on.
    held_back: views of photos it was not fitted on.
    mma_before, mma_after: MMA@3px on these, in [0, 1], of raw and of projected descriptors.
    """

    projection: Projection
    pairs: int
    held_back: int
    mma_before: float
    mma_after: float


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
    """Fit a projection for `dift` on the photos below `images`; its own projection is not used.

    Every fifth photo, up to 20 of them, only measures.

    names: which photos; by default all.
    dim, constant: of `Projection`; by default 128 and 2, or 256 and 4 where another describer
        stands beside: then there is more to keep.
    views: synthetic views a photo; 0 takes as many as give some tens of thousands of pairs.
    ridge: of `PairStatistics.projection`.
    seed: of the views.
    Raises InputError when there are fewer than two photos or too few keypoints, and when the
    detector finds nothing in a picture that it has not seen before.
    """
    detector = _detector_of(dift)
    images = Path(images)
    names = list_images(images) if names is None else names
    if len(names) < 2:
        raise InputError(
            f"{images} holds {len(names)} image(s), expected at least 2 to calibrate on"
        )
    held_back = names[::HOLD_BACK][:MEASURED]
    fitted_on = [name for name in names if name not in set(held_back)]
    per_image = views or max(2, min(40, round(200 / len(fitted_on))))
    shown = _views(images, fitted_on, dift, detector, per_image, seed)
    bar = progress(shown, "fit", unit="view", total=len(fitted_on) * per_image)
    statistics = _gather(bar, dift)
    usual = (128, 2.0) if dift.beside is None else (256, 4.0)
    projection = statistics.projection(
        usual[0] if dim is None else dim,
        ridge,
        _about(dift, statistics.count),
        usual[1] if constant is None else constant,
    )
    scores = _measure(_views(images, held_back, dift, detector, 3, seed + 1), dift, projection)
    if not scores:
        raise InputError(f"no held-back photo of {images} can be read, expected at least one")
    before, after = np.mean(scores, axis=0)
    return Calibration(projection, statistics.count, len(scores), float(before), float(after))


def _detector_of(dift: Dift) -> Detector:
    """The detector, if it can look at any picture: views of photos are pictures no one has seen."""
    detector = dift.detector
    if detector is None:
        raise InputError("this Dift has no detector, expected one such as Dift(backend, Sift())")
    try:
        detector.detect(np.zeros((64, 64, 3), np.uint8), "a view of a photo")
    except (MissingNameError, MissingFileError) as error:
        raise InputError(
            f"detector {detector.name!r} only knows images of its own, expected one that finds "
            "keypoints in any picture, as calibration makes views of the photos; use sift"
        ) from error
    return detector


@dataclass(frozen=True)
class _View:
    """A photo and a synthetic view of it.

    keypoints0, raw0: of the photo, with raw descriptors.
    image1, name1, keypoints1: the view, its name and its keypoints.
    H_1_from_0: takes pixels of the photo to the view.
    """

    keypoints0: Keypoints
    raw0: NDArray[np.float32]
    image1: NDArray[np.uint8]
    name1: str
    keypoints1: Keypoints
    H_1_from_0: NDArray[np.float64]


def _views(
    images: Path, names: Sequence[str], dift: Dift, detector: Detector, per_image: int, seed: int
) -> Iterator[_View]:
    for index, name in enumerate(names):
        try:
            image = resize_longest(read_image(images / name), dift.size)
        except (OSError, ValueError) as error:
            logger.warning("skipped: %s", error)
            continue
        keypoints0 = detector.detect(image, name)
        raw0 = dift.raw_descriptors(image, keypoints0, name)
        for view in range(per_image):
            random = np.random.default_rng((seed, index, view))
            image1, H = synthetic_view(image, random)
            name1 = f"{name}#{view}"
            yield _View(keypoints0, raw0, image1, name1, detector.detect(image1, name1), H)


def _gather(views: Iterable[_View], dift: Dift) -> PairStatistics:
    """Statistics of corresponding raw descriptors, until there are enough of them."""
    statistics = PairStatistics()
    for view in views:
        pairs = correspondences(view.keypoints0, view.keypoints1, view.H_1_from_0)
        raw1 = dift.raw_descriptors(view.image1, view.keypoints1[pairs[:, 1]], view.name1)
        statistics.add(view.raw0[pairs[:, 0]], raw1)
        if statistics.count >= ENOUGH_PAIRS:
            break
    return statistics


def _measure(
    views: Iterable[_View], dift: Dift, projection: Projection
) -> list[tuple[float, float]]:
    """MMA@3px of raw and of projected descriptors on each view."""
    scores = []
    for view in views:
        keypoints = view.keypoints0, view.keypoints1
        raw1 = dift.raw_descriptors(view.image1, view.keypoints1, view.name1)
        before, _ = mma(*keypoints, view.raw0, raw1, view.H_1_from_0)
        projected = projection.apply(view.raw0), projection.apply(raw1)
        after, _ = mma(*keypoints, *projected, view.H_1_from_0)
        scores.append((before, after))
    return scores


def _about(dift: Dift, pairs: int) -> dict[str, str]:
    """What a projection was fitted for and on, as text."""
    about = {
        "config": repr(dift.config),
        "backend": str(dift.backend.recipe()),
        "pairs": str(pairs),
    }
    if dift.beside is not None:
        about["beside"] = str(dift.beside.recipe())
    return about
