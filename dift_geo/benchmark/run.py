"""The homography benchmark: prepare methods, score them on the same pairs, leave a report.

Exported features and matches live in stores; scoring reads those alone and runs no network. What a
score means is in `protocols`, what is averaged how in `scores`, where features come from in
`benchmark_methods`.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.benchmark.homography.data import Benchmark, Pair
from dift_geo.benchmark.homography.protocols import Protocol, short_side_wh
from dift_geo.benchmark.homography.score import (
    Frame,
    PairScore,
    corners_of,
    faces_camera,
    fit,
    in_frame,
    score,
    strongest,
)
from dift_geo.benchmark.methods import AnyMethod, Prepared, resize_to
from dift_geo.benchmark.table import ScoreTable
from dift_geo.errors import InputError
from dift_geo.images import read_image
from dift_geo.report.markdown import Report, group_sequences, versions
from dift_geo.report.pictures import save_pairs, save_pictures
from dift_geo.report.plots import plot_matches

__all__ = ["evaluate", "pair_frame", "score_pairs", "usable_pairs"]

logger = logging.getLogger(__name__)


def evaluate(
    benchmark: Benchmark,
    out: str | Path,
    methods: Sequence[AnyMethod],
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
    """Score methods on a benchmark and write results.json, results.md, pairs.csv and pictures into
    `out`.

    cache: folder of the feature and match stores, default OUT/cache; one may serve many runs.
    groups: named sets of sequences that get rows of their own besides all, i and v. seed: of RANSAC
    and of the resampling. draws: resamples. pictures: best and worst pairs drawn per method; 0
    draws nothing. The first method is the reference of the differences. Raises ValueError when
    methods share a name or no pair is usable; what is wrong with single pairs is in the report.
    """
    out = Path(out)
    names = [method.name for method in methods]
    if not methods or len(set(names)) < len(names):
        raise InputError(f"methods are named {names}, expected one or more different names")
    stores = out / "cache" if cache is None else Path(cache)
    prepared = [method.prepare(benchmark, protocol, stores, device) for method in methods]
    pairs, problems = usable_pairs(benchmark, protocol, prepared)
    keys = [(pair.name0, pair.name1) for pair in pairs]
    matches = {source.name: source.match(keys) for source in prepared}
    tables: dict[str, ScoreTable] = {}
    thresholds: dict[str, float] = {}
    for source in prepared:
        tables[source.name], thresholds[source.name] = score_method(
            pairs, source, matches[source.name], protocol, seed
        )
    about = {
        "dataset": str(benchmark.folder.resolve()),
        "problems": [*benchmark.problems, *problems],
        "excluded": list(benchmark.excluded),
        "command": command or shlex.join(sys.argv),
        "recipe": {
            "protocol": asdict(protocol),
            "seed": seed,
            "bootstrap": {"draws": draws, "seed": seed, "over": "sequences"},
            "methods": {
                source.name: {**source.recipe(), "max_error_px": thresholds[source.name]}
                for source in prepared
            },
        },
        "versions": versions(),
    }
    sequences = list(dict.fromkeys(pair.sequence for pair in pairs))
    report = Report(protocol, tables, group_sequences(sequences, groups), about, draws, seed)
    report.save(out)
    if pictures:
        _draw(report, out / "pictures", benchmark.folder, pairs, prepared, matches, pictures)
    return report


def usable_pairs(
    benchmark: Benchmark, protocol: Protocol, prepared: Sequence[Prepared]
) -> tuple[list[Pair], list[str]]:
    """The pairs whose images have features in every method and whose truth has a meaning; a line
    for each problem.
    """
    missing = {name: reason for source in prepared for name, reason in source.missing.items()}
    problems = [
        f"{name} {reason}; its pairs are left out" for name, reason in sorted(missing.items())
    ]
    pairs = []
    for pair in benchmark.pairs:
        if pair.name0 in missing or pair.name1 in missing:
            continue
        size_wh = prepared[0].features[pair.name0].keypoints.size_wh
        if faces_camera(pair.H_1_from_0, corners_of(size_wh, protocol.corners)):
            pairs.append(pair)
        else:
            where = (
                f"{pair.sequence}: H_1_{pair.index} carries a corner of image 1 behind the camera"
            )
            problems.append(f"{where}; pair 1-{pair.index} is left out")
    if not pairs:
        raise InputError(
            f"no usable pair in {benchmark.folder}: {'; '.join([*benchmark.problems, *problems][:3])}"
        )
    return pairs, problems


def score_method(
    pairs: Sequence[Pair], source: Prepared, matches: Any, protocol: Protocol, seed: int = 0
) -> tuple[ScoreTable, float]:
    """The scores of a method and the inlier threshold behind them: the protocol's, or the best of
    its sweep.
    """
    best: tuple[ScoreTable, float] | None = None
    for threshold in protocol.sweep_px or (protocol.ransac.max_error_px,):
        tried = replace(protocol, ransac=replace(protocol.ransac, max_error_px=threshold))
        rows = score_pairs(pairs, source.features, matches, tried, seed=seed, progress=source.name)
        table = ScoreTable(tuple(rows), protocol.auc_px)
        if best is None or table.areas()["maa"] > best[0].areas()["maa"]:
            best = table, threshold
    assert best is not None
    return best


def score_pairs(
    pairs: Sequence[Pair],
    features: Any,
    matches: Any,
    protocol: Protocol,
    *,
    seed: int = 0,
    progress: str | None = None,
) -> list[PairScore]:
    """Score every pair from features by image name and matches by pair of names. No network, no
    image.
    """
    rows = []
    for pair in tqdm(pairs, f"score {progress}", unit="pair", disable=progress is None):
        frame, scores = pair_frame(pair, features, matches, protocol)
        rows.append(
            score(
                frame, protocol, sequence=pair.sequence, index=pair.index, scores=scores, seed=seed
            )
        )
    return rows


def pair_frame(
    pair: Pair, features: Any, matches: Any, protocol: Protocol
) -> tuple[Frame, NDArray[np.float32]]:
    """The matches of a pair in the protocol's frame, at most as many as it takes, and their scores."""
    k0, k1 = features[pair.name0].keypoints, features[pair.name1].keypoints
    found = matches[pair.name0, pair.name1]
    found = found[strongest(found.scores, protocol.max_matches)]
    xy0, xy1 = k0.xy[found.pairs[:, 0]], k1.xy[found.pairs[:, 1]]
    return in_frame(protocol, xy0, xy1, pair.H_1_from_0, k0.size_wh, k1.size_wh), found.scores


def _draw(
    report: Report,
    out: Path,
    folder: Path,
    pairs: Sequence[Pair],
    prepared: Sequence[Prepared],
    matches: Mapping[str, Any],
    count: int,
) -> None:
    """Curves, bars, and each method's best and worst pairs; a line instead where there is no
    plotting library.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        logger.warning("no pictures: they need matplotlib, pip install 'dift-geo[viz]'")
        return
    save_pictures(report, out)
    by_place = {(pair.sequence, pair.index): pair for pair in pairs}
    for source in prepared:

        def draw(row: PairScore, axes: Any, source: Prepared = source) -> None:
            pair = by_place[row.sequence, row.index]
            frame, _ = pair_frame(pair, source.features, matches[source.name], report.protocol)
            _draw_pair(source.name, folder, pair, frame, row, report, axes)

        save_pairs(report.tables[source.name].rows, count, out / source.name, draw)


def _draw_pair(
    method: str, folder: Path, pair: Pair, frame: Frame, row: PairScore, report: Report, axes: Any
) -> None:
    found = fit(frame, report.with_threshold_of(method), report.seed)
    inliers = np.zeros(len(frame.xy0), bool) if found is None else found.inliers
    title = (
        f"{method}, {row.sequence} 1-{row.index}: {row.matches} matches, {row.inliers} inliers, "
        f"{row.correct[2]} within 3 px of the truth, corner error {row.corner_px:.1f} px"
    )
    image0, image1 = (
        _as_scored(folder / file, report.protocol) for file in (pair.name0, pair.name1)
    )
    shift = 0.5 if report.protocol.corners == "edges" else 0.0  # back from COLMAP's frame
    plot_matches(
        image0, image1, frame.xy0 - shift, frame.xy1 - shift, inliers, title=title, axes=axes
    )


def _as_scored(path: Path, protocol: Protocol) -> NDArray[np.uint8]:
    image = read_image(path)
    if protocol.short_side is None:
        return image
    return resize_to(image, short_side_wh((image.shape[1], image.shape[0]), protocol.short_side))
