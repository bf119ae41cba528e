"""The homography benchmark: export features and matches once, then score them as often as wanted.

Exports go to our stores under their recipe; scoring reads stores alone and runs no network. Several methods share the same
pairs, so their differences are paired. What a score means is in `protocols`, what is averaged how in `scores`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from typing import Protocol as Contract

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.benchmark_data import Benchmark, Pair
from dift_geo.benchmark_pictures import save_pairs, save_pictures
from dift_geo.benchmark_report import Report, group_sequences, versions
from dift_geo.foreign import ForeignFeatures, squared_distance_rows
from dift_geo.images import read_image
from dift_geo.matching import match_mutual_nn
from dift_geo.pipeline import extract_images, match_pairs
from dift_geo.protocols import (
    Frame,
    PairScore,
    Protocol,
    corners_of,
    faces_camera,
    fit,
    in_frame,
    score,
    short_side_wh,
    strongest,
)
from dift_geo.scores import ScoreTable
from dift_geo.store import FeatureStore, MatchStore
from dift_geo.types import Features, Matches
from dift_geo.viz import plot_matches

__all__ = ["Method", "ShortSide", "evaluate", "score_pairs"]

logger = logging.getLogger(__name__)


class Extracts(Contract):
    """What a method needs to make features: `extractors.Extractor` and `foreign.AtKeypoints` are such."""

    def extract(self, image: NDArray[np.uint8], name: str) -> Features: ...

    def recipe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    extractor makes features; or `features` names a folder or file that another program wrote, with its `matches` (HDF5 of
    hloc) or to be matched here by `metric` (l2 compares descriptors as they are, for DIFT's ADM files); or `stores` names
    a features and a matches store of an earlier run. ratio, min_similarity: of the matcher.
    """

    name: str
    extractor: Extracts | None = None
    features: Path | None = None
    matches: Path | None = None
    stores: tuple[Path, Path] | None = None
    ratio: float | None = None
    min_similarity: float | None = None
    metric: Literal["cosine", "l2"] = "cosine"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise ValueError(f"method name is {self.name!r}, expected letters, digits and . + - _ only")
        if sum(part is not None for part in (self.extractor, self.features, self.stores)) != 1:
            raise ValueError(f"method {self.name!r} needs exactly one of an extractor, foreign features or stores")


@dataclass(frozen=True)
class ShortSide:
    """Shows images to `extractor` resized so that the short side is `short_side`; keypoints come back in the original."""

    extractor: Extracts
    short_side: int

    def extract(self, image: NDArray[np.uint8], name: str) -> Features:
        h, w = image.shape[:2]
        size_wh = short_side_wh((w, h), self.short_side)
        resized = resize_to(image, size_wh)
        at_keypoints = getattr(self.extractor, "extract_resized", None)
        features = at_keypoints(resized, name, (w, h)) if at_keypoints else self.extractor.extract(resized, name)
        return replace(features, keypoints=features.keypoints.resized_to((w, h)))

    def recipe(self) -> dict[str, Any]:
        return {**self.extractor.recipe(), "short_side": self.short_side}


def evaluate(
    benchmark: Benchmark,
    out: str | Path,
    methods: Sequence[Method],
    protocol: Protocol,
    *,
    cache: str | Path | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    draws: int = 1000,
    pictures: int = 3,
    device: str = "cpu",
    command: str | None = None,
) -> Report:
    """Score methods on a benchmark and write results.json, results.md, pairs.csv and pictures into `out`.

    cache: folder of the feature and match stores, default OUT/cache; one may serve many runs. groups: named sets of
    sequences that get rows of their own besides all, i and v. seed: of RANSAC and of the resampling. draws: resamples.
    pictures: best and worst pairs drawn per method; 0 draws nothing. Raises ValueError when methods share a name or no
    pair is usable; what is wrong with single pairs is listed in the report.
    """
    out = Path(out)
    cache = out / "cache" if cache is None else Path(cache)
    names = [method.name for method in methods]
    if not methods or len(set(names)) < len(names):
        raise ValueError(f"methods are named {names}, expected one or more different names")
    sources = [_source(method, benchmark, protocol, cache) for method in methods]
    bad = {name: reason for source in sources for name, reason in source.export(benchmark).items()}
    pairs, problems = _usable_pairs(benchmark, protocol, sources[0], bad)
    tables = {}
    for source in sources:
        rows = score_pairs(
            pairs, source.features, source.match(pairs, device), protocol, seed=seed, progress=source.method.name
        )
        tables[source.method.name] = ScoreTable(tuple(rows), protocol.auc_px)
    report = Report(
        protocol,
        tables,
        group_sequences(list(dict.fromkeys(pair.sequence for pair in pairs)), groups),
        {
            "dataset": str(benchmark.folder.resolve()),
            "problems": [*benchmark.problems, *problems],
            "excluded": list(benchmark.excluded),
            "command": command or " ".join(sys.argv),
            "recipe": {
                "protocol": asdict(protocol),
                "seed": seed,
                "bootstrap": {"draws": draws, "seed": seed, "over": "sequences"},
                "methods": {source.method.name: source.recipe() for source in sources},
            },
            "versions": versions(),
        },
        draws,
        seed,
    )
    report.save(out)
    if pictures:
        _draw(report, out / "pictures", benchmark, pairs, sources, pictures, device)
    return report


def _draw(
    report: Report,
    out: Path,
    benchmark: Benchmark,
    pairs: Sequence[Pair],
    sources: Sequence[_Source],
    count: int,
    device: str,
) -> None:
    """Curves, bars, and each method's best and worst pairs; a line instead where there is no plotting library."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        logger.warning("no pictures: they need matplotlib, pip install 'dift-geo[viz]'")
        return
    save_pictures(report, out)
    by_place = {(pair.sequence, pair.index): pair for pair in pairs}
    for source in sources:
        matches = source.match(pairs, device)

        def draw(row: PairScore, axes: Any, source: _Source = source, matches: Any = matches) -> None:
            pair = by_place[row.sequence, row.index]
            frame, _ = pair_frame(pair, source.features, matches, report.protocol)
            images = [_as_scored(benchmark.folder / name, report.protocol) for name in (pair.name0, pair.name1)]
            shift = 0.5 if report.protocol.corners == "edges" else 0.0
            found = fit(frame, report.protocol, report.seed)
            inliers = np.zeros(len(frame.xy0), bool) if found is None else found.inliers
            title = (
                f"{source.method.name}, {row.sequence} 1-{row.index}: {row.matches} matches, {row.inliers} inliers, "
                f"{row.correct[2]} within 3 px of the truth, corner error {row.corner_px:.1f} px"
            )
            plot_matches(images[0], images[1], frame.xy0 - shift, frame.xy1 - shift, inliers, title=title, axes=axes)

        save_pairs(report.tables[source.method.name].rows, count, out / source.method.name, draw)


def _as_scored(path: Path, protocol: Protocol) -> NDArray[np.uint8]:
    image = read_image(path)
    if protocol.short_side is None:
        return image
    return resize_to(image, short_side_wh((image.shape[1], image.shape[0]), protocol.short_side))


def resize_to(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) to the given size: by area when it shrinks, which does not alias, else bilinear."""
    how = cv2.INTER_AREA if size_wh[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)


class _Recent:
    """A store of features that keeps the last few at hand: the pairs of a sequence share image 1."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.recall = lru_cache(maxsize=8)(store.__getitem__)

    def __getitem__(self, name: str) -> Features:
        return self.recall(name)

    def __contains__(self, name: str) -> bool:
        return name in self.store


class _Source:
    """Where a method's features and matches come from; `export` makes what is missing."""

    def __init__(self, method: Method, features_path: Path | None, matches_path: Path | None, short_side: int | None) -> None:
        self.method, self.short_side = method, short_side
        self.features_path, self.matches_path = features_path, matches_path
        self.features: Any = None

    def export(self, benchmark: Benchmark) -> dict[str, str]:
        """Make features; returns the images that have none, with the reason."""
        method = self.method
        if method.features is not None:
            self.features = _Recent(ForeignFeatures(method.features, benchmark.folder))
            return {}
        assert self.features_path is not None
        if method.extractor is not None:
            seen = method.extractor if self.short_side is None else ShortSide(method.extractor, self.short_side)
            extract_images(benchmark.folder, benchmark.images, seen, self.features_path)  # type: ignore[arg-type]
        self.features = _Recent(FeatureStore(self.features_path))
        reason = "cannot be read" if method.extractor is not None else f"is not in {self.features_path}"
        return {name: reason for name in benchmark.images if name not in self.features}

    def match(self, pairs: Sequence[Pair], device: str) -> Mapping[tuple[str, str], Matches]:
        """Make matches; returns them by pair of names."""
        method = self.method
        keys = [(pair.name0, pair.name1) for pair in pairs]
        if method.features is not None and method.matches is not None:
            return MatchStore(method.matches)  # type: ignore[return-value]
        if method.features is not None:
            return _Matcher(self.features, method, device)
        assert self.features_path is not None
        assert self.matches_path is not None
        if method.extractor is not None:
            options = {"ratio": method.ratio, "min_similarity": method.min_similarity}
            match_pairs(self.features_path, keys, self.matches_path, device=device, **options)  # type: ignore[arg-type]
        return MatchStore(self.matches_path)  # type: ignore[return-value]

    def recipe(self) -> dict[str, Any]:
        """What determines the rows of this method, and the stores they can be recomputed from."""
        method = self.method
        matching = {"ratio": method.ratio, "min_similarity": method.min_similarity, "metric": method.metric}
        if method.features is not None:
            given = None if method.matches is None else str(method.matches)
            return {"features": self.features.store.recipe(), "matches": given or matching}
        stores = [str(Path(path).resolve()) for path in (self.features_path, self.matches_path) if path is not None]
        return {"features": self.features.store.recipe, "matches": MatchStore(self.matches_path).recipe, "stores": stores}  # type: ignore[arg-type]


class _Matcher(Mapping[tuple[str, str], Matches]):
    """Matches foreign features when asked, keeping image 1 of the sequence at hand."""

    def __init__(self, features: Any, method: Method, device: str) -> None:
        self.features, self.method, self.device = features, method, device

    def __getitem__(self, key: tuple[str, str]) -> Matches:
        rows0, rows1 = (self.features[name].descriptors for name in key)
        if self.method.metric == "l2":
            rows0, rows1 = squared_distance_rows(rows0, rows1)
        else:
            rows0, rows1 = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (rows0, rows1))
        options = {"ratio": self.method.ratio, "min_similarity": self.method.min_similarity}
        return match_mutual_nn(rows0, rows1, device=self.device, **options)  # type: ignore[arg-type]

    def __iter__(self) -> Any:
        raise TypeError("matches made on demand cannot be listed")

    def __len__(self) -> int:
        raise TypeError("matches made on demand cannot be counted")


def _source(method: Method, benchmark: Benchmark, protocol: Protocol, cache: Path) -> _Source:
    if method.stores is not None:
        return _Source(method, *method.stores, protocol.short_side)
    if method.features is not None:
        return _Source(method, None, None, protocol.short_side)
    assert method.extractor is not None
    seen = method.extractor if protocol.short_side is None else ShortSide(method.extractor, protocol.short_side)
    made_by = _fingerprint(seen.recipe())
    matched_by = _fingerprint({"features": made_by, "ratio": method.ratio, "min_similarity": method.min_similarity})
    folder = cache / method.name
    return _Source(method, folder / f"features-{made_by}.h5", folder / f"matches-{matched_by}.h5", protocol.short_side)


def _fingerprint(recipe: Mapping[str, Any]) -> str:
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]


def _usable_pairs(
    benchmark: Benchmark, protocol: Protocol, source: _Source, bad: Mapping[str, str]
) -> tuple[list[Pair], list[str]]:
    """The pairs whose images have features and whose truth has a meaning; a line for each of the others."""
    pairs, problems = [], [f"{name} {reason}; its pairs are left out" for name, reason in sorted(bad.items())]
    sizes: dict[str, tuple[int, int]] = {}
    for pair in benchmark.pairs:
        if pair.name0 in bad or pair.name1 in bad:
            continue
        if pair.name0 not in sizes:
            sizes[pair.name0] = source.features[pair.name0].keypoints.size_wh
        if faces_camera(pair.H_1_from_0, corners_of(sizes[pair.name0], protocol.corners)):
            pairs.append(pair)
        else:
            problems.append(
                f"{pair.sequence}: H_1_{pair.index} carries a corner of image 1 behind the camera; "
                f"pair 1-{pair.index} is left out"
            )
    if not pairs:
        raise ValueError(f"no usable pair in {benchmark.folder}: {'; '.join(problems[:3])}")
    return pairs, problems


def score_pairs(
    pairs: Sequence[Pair],
    features: Any,
    matches: Mapping[tuple[str, str], Matches],
    protocol: Protocol,
    *,
    seed: int = 0,
    progress: str | None = None,
) -> list[PairScore]:
    """Score every pair from features by image name and matches by pair of names. No network, no image."""
    rows = []
    for pair in tqdm(pairs, f"score {progress}", unit="pair", disable=progress is None):
        frame, scores = pair_frame(pair, features, matches, protocol)
        rows.append(score(frame, protocol, sequence=pair.sequence, index=pair.index, scores=scores, seed=seed))
    return rows


def pair_frame(
    pair: Pair, features: Any, matches: Mapping[tuple[str, str], Matches], protocol: Protocol
) -> tuple[Frame, NDArray[np.float32]]:
    """The matches of a pair in the protocol's frame, at most as many as it takes, and their scores."""
    k0, k1 = features[pair.name0].keypoints, features[pair.name1].keypoints
    found = matches[pair.name0, pair.name1]
    found = found[strongest(found.scores, protocol.max_matches)]
    xy0, xy1 = k0.xy[found.pairs[:, 0]], k1.xy[found.pairs[:, 1]]
    return in_frame(protocol, xy0, xy1, pair.H_1_from_0, k0.size_wh, k1.size_wh), found.scores
