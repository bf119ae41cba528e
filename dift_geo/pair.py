"""Two photos in, matched points and a homography out.

Glue of extraction, matching and geometry for a single pair; knows no files and no COLMAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dift_geo.geometry.homography import Homography, estimate_homography
from dift_geo.geometry.robust import Estimator
from dift_geo.matching.mutual_nn import match as match_descriptors
from dift_geo.matching.options import MatchOptions
from dift_geo.turned import straightening_of
from dift_geo.turns.probe import probe_photo
from dift_geo.turns.survey import survey_turns
from dift_geo.types import Features, Matches, Turn

__all__ = ["ExtractsFeatures", "PairMatches", "match_features", "match_pair"]


class ExtractsFeatures(Protocol):
    """Turns one photo into features: an `Extractor`, or a `Dift` that has a detector."""

    def extract(self, image: NDArray[np.uint8], name: str | None = None) -> Features: ...


class _ExtractsTurned(Protocol):
    """The same of a photo that is turned back, as an `Extractor` can."""

    def extract(
        self, image: NDArray[np.uint8], name: str | None = None, *, turn: Turn | None = None
    ) -> Features: ...


@dataclass(frozen=True, slots=True)
class PairMatches:
    """What two photos have in common.

    features0: of the first photo, in its own pixels.
    features1: of the second photo.
    matches: rows of `features0` with rows of `features1`.
    homography: from the first photo to the second, over the matches; None where none fits.
    """

    features0: Features
    features1: Features
    matches: Matches
    homography: Homography | None

    def __len__(self) -> int:
        """The number of matches."""
        return len(self.matches)

    @property
    def xy0(self) -> NDArray[np.float32]:
        """(M, 2) matched pixels of the first photo, in the order of `matches`."""
        return self.matches.points(self.features0, self.features1)[0]

    @property
    def xy1(self) -> NDArray[np.float32]:
        """(M, 2) matched pixels of the second photo, in the order of `matches`."""
        return self.matches.points(self.features0, self.features1)[1]

    @property
    def inliers(self) -> NDArray[np.bool_]:
        """(M,) bool: the matches that the homography carries; all False where none fits."""
        if self.homography is None:
            return np.zeros(len(self.matches), np.bool_)
        return self.homography.inliers


def match_features(
    features0: Features,
    features1: Features,
    *,
    match: MatchOptions = MatchOptions(),
    estimator: Estimator = "kornia",
    max_error_px: float = 3.0,
    seed: int = 0,
    device: str = "cpu",
) -> PairMatches:
    """Match the features of two photos and estimate their homography.

    match: which mutual nearest neighbours are kept.
    estimator: of the homography, see `estimate_homography`.
    max_error_px: its inlier threshold, in pixels of the second photo.
    seed: of its random draws.
    device: where the descriptors are compared.

    Raises InputError when the descriptors have different lengths.
    """
    matches = match_descriptors(features0.descriptors, features1.descriptors, match, device=device)
    xy0, xy1 = matches.points(features0, features1)
    homography = estimate_homography(
        xy0, xy1, estimator=estimator, max_error_px=max_error_px, seed=seed
    )
    return PairMatches(features0, features1, matches, homography)


def match_pair(
    image0: NDArray[np.uint8],
    image1: NDArray[np.uint8],
    extractor: ExtractsFeatures,
    *,
    match: MatchOptions = MatchOptions(),
    estimator: Estimator = "kornia",
    max_error_px: float = 3.0,
    seed: int = 0,
    name0: str | None = None,
    name1: str | None = None,
    device: str = "cpu",
) -> PairMatches:
    """Extract from two photos, match them and estimate their homography.

    image0: (H, W, 3) uint8 RGB.
    image1: (H, W, 3) uint8 RGB, of any other size.
    extractor: as `build_extractor` makes it, or a `Dift` that has a detector. Where it straightens
        photos, these two are compared first.
    name0: of the first photo, which seeds noise where the extractor has any and finds keypoints
        that were made elsewhere; None stands for a checksum of the pixels.
    name1: of the second photo.

    The other arguments are those of `match_features`.
    """
    features0, features1 = _extract_both(extractor, (image0, image1), (name0, name1))
    return match_features(
        features0,
        features1,
        match=match,
        estimator=estimator,
        max_error_px=max_error_px,
        seed=seed,
        device=device,
    )


def _extract_both(
    extractor: ExtractsFeatures,
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    names: tuple[str | None, str | None],
) -> list[Features]:
    straighten = straightening_of(extractor)
    if straighten is None:
        return [extractor.extract(image, name) for image, name in zip(images, names)]
    told = cast("_ExtractsTurned", extractor)
    probes = {str(i): probe_photo(image, straighten.size) for i, image in enumerate(images)}
    turns = survey_turns(probes, zoom=straighten.mode == "zoom")
    return [
        told.extract(image, name, turn=turns[place])
        for place, image, name in zip(probes, images, names)
    ]
