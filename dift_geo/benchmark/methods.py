"""What a row of a benchmark table can be: our own extractor, stores of an earlier run, or another
program's features.

Each `prepare`s itself for the images of a task: afterwards features and matches can be looked up by
image name. Knows no benchmark and no scores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.foreign import ForeignFeatures, squared_distance_rows
from dift_geo.benchmark.short_side import Extracts, ShortSide
from dift_geo.benchmark.task import Photos, Source
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import read_json
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.recipe import fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.recent import Recent
from dift_geo.types import Features, FeatureSource, Matches, MatchSource, Pair

__all__ = [
    "AnyMethod",
    "ForeignMethod",
    "Method",
    "Prepared",
    "StoredMethod",
    "check_name",
    "stored_methods",
]

GivenOut = TypeVar("GivenOut", covariant=True)
Metric = Literal["cosine", "l2"]


@dataclass(frozen=True)
class Prepared(Generic[GivenOut]):
    """A method ready to be scored.

    name: of its row in the tables.
    features: what it gives for an image, by name.
    missing: images for which it gives nothing, with the reason.
    match: makes or finds the matches of these pairs, then gives them by pair of names.
    recipe: what determines the numbers.
    """

    name: str
    features: Source[GivenOut]
    missing: Mapping[str, str]
    match: Callable[[Sequence[Pair]], MatchSource]
    recipe: Callable[[], Mapping[str, object]]


class AnyMethod(Protocol[GivenOut]):
    """A row of the tables."""

    @property
    def name(self) -> str:
        """What it is called there."""
        ...

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[GivenOut]:
        """Make what a task needs, or find it.

        photos: the images to look at.
        cache: folder of feature and match stores.
        device: where matching runs.
        """
        ...


def check_name(name: str) -> None:
    """Refuse the name of a row that cannot become a folder. Raises InputError."""
    if not re.fullmatch(r"[\w.+-]+", name):
        raise InputError(f"method name is {name!r}, expected letters, digits and . + - _ only")


@dataclass(frozen=True)
class Method:
    """Our own features and matches, exported into stores under their recipe.

    name: letters, digits and . + - _; it becomes a folder.
    extractor: makes the features.
    ratio, min_similarity: of the matching, as in 0.1.
    matching: all options of the matching instead.
    """

    name: str
    extractor: Extracts
    ratio: float | None = None
    min_similarity: float | None = None
    matching: MatchOptions | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        given = MatchOptions(ratio=self.ratio, min_similarity=self.min_similarity)
        if self.matching is not None and given != MatchOptions():
            raise InputError(
                f"{self.name} has both ratio or min_similarity and matching, expected one of them"
            )

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Features]:
        """Extract what the store does not hold yet. Another recipe gets another store, so one cache
        serves all.
        """
        seen = (
            self.extractor
            if photos.short_side is None
            else ShortSide(self.extractor, photos.short_side)
        )
        options = self.matching or MatchOptions(
            ratio=self.ratio, min_similarity=self.min_similarity
        )
        made_by = fingerprint(seen.recipe(), 10)
        matched_by = fingerprint({"features": made_by, **options.recipe()}, 10)
        features_path = cache / self.name / f"features-{made_by}.h5"
        matches_path = cache / self.name / f"matches-{matched_by}.h5"
        extract_images(photos.folder, photos.names, seen, features_path)
        stored = StoredMethod(self.name, features_path, matches_path).prepare(photos, cache, device)

        def matched(pairs: Sequence[Pair]) -> MatchSource:
            match_pairs(features_path, pairs, matches_path, options, device=device)
            return stored.match(pairs)

        missing = dict.fromkeys(stored.missing, "cannot be read")
        return replace(stored, missing=missing, match=matched)


@dataclass(frozen=True)
class StoredMethod:
    """Features and matches of an earlier run. No network is loaded, no image read."""

    name: str
    features: Path
    matches: Path

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Features]:
        """Open the stores. Raises InputError when they were made from images of another size."""
        store = FeatureStore(self.features)
        if store.recipe is not None:
            short_side = store.recipe.get("short_side")
            if short_side != photos.short_side:
                raise InputError(
                    f"{self.features} was made from images with short side "
                    f"{short_side or 'unchanged'}, protocol {photos.protocol} expects "
                    f"{photos.short_side or 'unchanged'}; evaluate without --cached"
                )
        missing = {name: f"is not in {self.features}" for name in photos.names if name not in store}
        return Prepared(
            self.name, Recent(store), missing, lambda pairs: MatchStore(self.matches), self._recipe
        )

    def _recipe(self) -> dict[str, object]:
        return {
            "features": FeatureStore(self.features).recipe,
            "matches": MatchStore(self.matches).recipe,
            "stores": [str(self.features.resolve()), str(self.matches.resolve())],
        }


@dataclass(frozen=True)
class ForeignMethod:
    """Features that another program wrote, at the original resolution whatever the task.

    name: of its row in the tables.
    features: a folder of npz files as the DIFT release and D2-Net write them, or hloc's HDF5.
    matches: hloc's HDF5 of their matches; None matches them here.
    metric: what they are matched by: cosine, or l2 of the descriptors as they are (DIFT's choice
        for its ADM features).
    ratio: Lowe's ratio test of the matching here.
    """

    name: str
    features: Path
    matches: Path | None = None
    metric: Metric = "cosine"
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise InputError(f"metric of {self.name} is {self.metric!r}, expected cosine or l2")
        if self.metric == "l2" and self.ratio is not None:
            raise InputError(
                f"{self.name}: the ratio test needs unit descriptors; leave it out with metric l2"
            )

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Features]:
        """Look for the file of every image. Raises MissingNameError where there is none."""
        foreign = ForeignFeatures(self.features, photos.folder)
        for name in photos.names:
            foreign.locate(name)
        features = Recent(foreign)

        def matched(pairs: Sequence[Pair]) -> MatchSource:
            if self.matches is not None:
                return MatchStore(self.matches)
            return _OnDemand(features, self.metric, MatchOptions(ratio=self.ratio), device)

        return Prepared(self.name, features, {}, matched, self._recipe)

    def _recipe(self) -> dict[str, object]:
        matching = {"name": "mutual-nn", "metric": self.metric, "ratio": self.ratio}
        return {
            "features": {"foreign": str(self.features)},
            "matches": matching if self.matches is None else str(self.matches),
        }


@dataclass(frozen=True)
class _OnDemand:
    """Matches foreign features when asked."""

    features: FeatureSource
    metric: Metric
    options: MatchOptions
    device: str

    def __getitem__(self, pair: Pair, /) -> Matches:
        rows0, rows1 = (self.features[name].descriptors for name in pair)
        if not len(rows0) or not len(rows1):  # an empty file need not know the dimension
            return Matches.none()
        if self.metric == "l2":
            rows0, rows1 = squared_distance_rows(rows0, rows1)
        else:
            rows0, rows1 = _unit_rows(rows0), _unit_rows(rows1)
        return match(rows0, rows1, self.options, device=self.device)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), np.float32)


def stored_methods(out: str | Path) -> list[StoredMethod]:
    """The methods of an earlier run into `out` whose stores are still there: metrics again, without
    any network.
    """
    path = Path(out) / "results.json"
    if not path.is_file():
        raise MissingFileError(
            f"no results.json in {out}; --cached needs the folder of a finished `dift-geo evaluate`"
        )
    results = read_json(path, "run the evaluation again")
    found, gone = [], []
    try:
        for name, recipe in results["recipe"]["methods"].items():
            files = [Path(file) for file in recipe.get("stores", ())]
            gone += [str(file) for file in files if not file.is_file()]
            if files:
                features, matches = files
                found.append(StoredMethod(name, features, matches))
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not say which stores its methods have, expected what `dift-geo evaluate` "
            "writes; run the evaluation again"
        ) from error
    if gone or not found:
        raise MissingFileError(
            f"the stores of {out} are not there: {', '.join(gone) or 'none was kept'}; "
            "run without --cached"
        )
    return found
