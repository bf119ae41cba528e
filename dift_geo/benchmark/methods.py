"""What a row of a benchmark table can be: our own extractor, stores of an earlier run, or another
program's features.

Each `prepare`s itself for a benchmark and a protocol: afterwards features and matches can be looked
up by image name. Knows no scores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from typing import Protocol as Contract

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.foreign import AtKeypoints, ForeignFeatures, squared_distance_rows
from dift_geo.benchmark.homography.data import Benchmark
from dift_geo.benchmark.homography.protocols import Protocol, short_side_wh
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError, MissingFileError
from dift_geo.extractor import build_extractor
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.recent import Recent
from dift_geo.types import Features, Matches

__all__ = [
    "AnyMethod",
    "ForeignMethod",
    "Method",
    "Prepared",
    "ShortSide",
    "StoredMethod",
    "method_from_words",
    "resize_to",
    "stored_methods",
]

Names = tuple[str, str]


class Extracts(Contract):
    """What makes features: `extractors.Extractor` and `foreign.AtKeypoints` are such."""

    def extract(self, image: NDArray[np.uint8], name: str) -> Features: ...

    def recipe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Prepared:
    """A method ready to be scored.

    features: by image name. missing: images without features, with the reason. match: makes or
    finds the matches of these pairs, then gives them by pair of names. recipe: what determines the
    numbers.
    """

    name: str
    features: Any
    missing: Mapping[str, str]
    match: Callable[[Sequence[Names]], Any]
    recipe: Callable[[], dict[str, Any]]


class AnyMethod(Contract):
    """A row of the tables."""

    @property
    def name(self) -> str: ...

    def prepare(
        self, benchmark: Benchmark, protocol: Protocol, cache: Path, device: str
    ) -> Prepared: ...


@dataclass(frozen=True)
class Method:
    """Our own features: `extractor` and the options of `match_mutual_nn`, exported into stores
    under their recipe.
    """

    name: str
    extractor: Extracts
    ratio: float | None = None
    min_similarity: float | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.name):  # it becomes a folder
            raise InputError(
                f"method name is {self.name!r}, expected letters, digits and . + - _ only"
            )

    def prepare(
        self, benchmark: Benchmark, protocol: Protocol, cache: Path, device: str
    ) -> Prepared:
        """Extract what the store does not hold yet. Another recipe gets another store, so one cache
        serves all.
        """
        seen = (
            self.extractor
            if protocol.short_side is None
            else ShortSide(self.extractor, protocol.short_side)
        )
        options = {"ratio": self.ratio, "min_similarity": self.min_similarity}
        made_by = _fingerprint(seen.recipe())
        features_path = cache / self.name / f"features-{made_by}.h5"
        matches_path = (
            cache / self.name / f"matches-{_fingerprint({'features': made_by, **options})}.h5"
        )
        extract_images(benchmark.folder, benchmark.images, seen, features_path)  # type: ignore[arg-type]
        stored = StoredMethod(self.name, features_path, matches_path).prepare(
            benchmark, protocol, cache, device
        )

        def match(pairs: Sequence[Names]) -> Any:
            match_pairs(features_path, pairs, matches_path, device=device, **options)  # type: ignore[arg-type]
            return stored.match(pairs)

        return replace(stored, missing=dict.fromkeys(stored.missing, "cannot be read"), match=match)


@dataclass(frozen=True)
class StoredMethod:
    """Features and matches of an earlier run. No network is loaded, no image read."""

    name: str
    features: Path
    matches: Path

    def prepare(
        self, benchmark: Benchmark, protocol: Protocol, cache: Path, device: str
    ) -> Prepared:
        """Open the stores. Raises ValueError when they were made for another image size than the
        protocol's.
        """
        store = FeatureStore(self.features)
        short_side = (store.recipe or {}).get("short_side")
        if store.recipe is not None and short_side != protocol.short_side:
            raise InputError(
                f"{self.features} was made from images with short side {short_side or 'unchanged'}, protocol {protocol.name} "
                f"expects {protocol.short_side or 'unchanged'}; evaluate without --cached"
            )
        missing = {
            name: f"is not in {self.features}" for name in benchmark.images if name not in store
        }
        return Prepared(
            self.name, Recent(store), missing, lambda pairs: MatchStore(self.matches), self._recipe
        )

    def _recipe(self) -> dict[str, Any]:
        return {
            "features": FeatureStore(self.features).recipe,
            "matches": MatchStore(self.matches).recipe,
            "stores": [str(self.features.resolve()), str(self.matches.resolve())],
        }


@dataclass(frozen=True)
class ForeignMethod:
    """Features that another program wrote (see `foreign`), at the original resolution whatever the
    protocol.

    matches: HDF5 of hloc with their matches; None matches them here, by `metric`: cosine, or l2 of
    the descriptors as they are (DIFT's choice for its ADM features).
    """

    name: str
    features: Path
    matches: Path | None = None
    metric: Literal["cosine", "l2"] = "cosine"
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in ("cosine", "l2"):
            raise InputError(f"metric of {self.name} is {self.metric!r}, expected cosine or l2")
        if self.metric == "l2" and self.ratio is not None:
            raise InputError(
                f"{self.name}: the ratio test needs unit descriptors; leave it out with metric l2"
            )

    def prepare(
        self, benchmark: Benchmark, protocol: Protocol, cache: Path, device: str
    ) -> Prepared:
        """Check that every image has a file. Raises KeyError for the first that has none."""
        foreign = ForeignFeatures(self.features, benchmark.folder)
        for name in benchmark.images:
            foreign.locate(name)
        features = Recent(foreign)
        if self.matches is not None:
            given = self.matches
            return Prepared(self.name, features, {}, lambda pairs: MatchStore(given), self._recipe)
        return Prepared(
            self.name, features, {}, lambda pairs: _OnDemand(features, self, device), self._recipe
        )

    def _recipe(self) -> dict[str, Any]:
        matching = {"name": "mutual-nn", "metric": self.metric, "ratio": self.ratio}
        return {
            "features": {"foreign": str(self.features)},
            "matches": matching if self.matches is None else str(self.matches),
        }


def method_from_words(
    words: str, defaults: Mapping[str, Any], keypoints: Path | None = None
) -> Method:
    """`NAME` or `NAME:flag=value,flag=value`: our own method with flags of `build_extractor`, or
    ratio and min_similarity.

    defaults: flags that are not named. keypoints: folder of keypoint files to describe at, instead
    of a detector. Raises ValueError for an unknown flag.
    """
    name, _, rest = words.partition(":")
    flags = dict(defaults)
    for word in filter(None, rest.split(",")):
        flag, _, value = word.partition("=")
        flag = flag.strip().removeprefix("--").replace("-", "_")
        if flag not in flags or not value:
            raise InputError(
                f"method {words!r} has {word!r}, expected flag=value with one of {', '.join(sorted(flags))}"
            )
        flags[flag] = _NUMBERS.get(flag, str)(value)
    matcher = {flag: flags.pop(flag) for flag in ("ratio", "min_similarity")}
    extractor: Extracts = build_extractor(**flags)
    if keypoints is not None:
        extractor = AtKeypoints(extractor.describers, keypoints)  # type: ignore[attr-defined]
    return Method(name, extractor, **matcher)


_NUMBERS = {
    "max_keypoints": int,
    "max_batch": int,
    "size": int,
    "seed": int,
    "ratio": float,
    "min_similarity": float,
}


def stored_methods(out: str | Path) -> list[StoredMethod]:
    """The methods of an earlier run into `out` whose stores are still there: metrics again, without
    any network.
    """
    path = Path(out) / "results.json"
    if not path.is_file():
        raise MissingFileError(
            f"no results.json in {out}; --cached needs the folder of a finished `dift-geo evaluate`"
        )
    methods = json.loads(path.read_text(encoding="utf-8"))["recipe"]["methods"]
    found = {
        name: [Path(file) for file in recipe["stores"]]
        for name, recipe in methods.items()
        if "stores" in recipe
    }
    gone = [str(file) for files in found.values() for file in files if not file.is_file()]
    if gone or not found:
        raise MissingFileError(
            f"the stores of {out} are not there: {', '.join(gone) or 'none was kept'}; run without --cached"
        )
    return [StoredMethod(name, *files) for name, files in found.items()]


@dataclass(frozen=True)
class ShortSide:
    """Shows images to `extractor` resized so that the short side is `short_side`; keypoints come
    back in the original.
    """

    extractor: Extracts
    short_side: int

    def extract(self, image: NDArray[np.uint8], name: str) -> Features:
        h, w = image.shape[:2]
        resized = resize_to(image, short_side_wh((w, h), self.short_side))
        # those are given in the original frame
        at_keypoints = getattr(self.extractor, "extract_resized", None)
        features = (
            at_keypoints(resized, name, (w, h))
            if at_keypoints
            else self.extractor.extract(resized, name)
        )
        return replace(features, keypoints=features.keypoints.resized_to((w, h)))

    def recipe(self) -> dict[str, Any]:
        return {**self.extractor.recipe(), "short_side": self.short_side}


def resize_to(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) to the given size: by area when it shrinks, which does not alias, else bilinear."""
    how = cv2.INTER_AREA if size_wh[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)


@dataclass(frozen=True)
class _OnDemand:
    """Matches foreign features when asked."""

    features: Any
    method: ForeignMethod
    device: str

    def __getitem__(self, names: Names) -> Matches:
        rows0, rows1 = (self.features[name].descriptors for name in names)
        if not len(rows0) or not len(rows1):  # an empty file need not know the dimension
            return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
        if self.method.metric == "l2":
            rows0, rows1 = squared_distance_rows(rows0, rows1)
        else:
            rows0, rows1 = (
                rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
                for rows in (rows0, rows1)
            )
        return match_mutual_nn(rows0, rows1, ratio=self.method.ratio, device=self.device)


def _fingerprint(recipe: Mapping[str, Any]) -> str:
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]
