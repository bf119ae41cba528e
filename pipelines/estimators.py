#!/usr/bin/env python3
"""Which homography estimator? Accuracy against time and inlier share, for all there are.

    python pipelines/estimators.py out/ --dataset hpatches/

Synthetic pairs: points of a 1024 x 768 image under random homographies, 0.7 px of Gaussian noise,
outliers uniform in the image. With --dataset also the RootSIFT matches of real sequences (original
resolution, 1000 keypoints), split by the true inlier share. All at a threshold of 3 px; the error
is the mean corner distance of the `dift` protocol. Writes OUT/estimators.json and
OUT/estimators.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from statistics import median

import numpy as np

from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import Ransac, protocol_named
from dift_geo.benchmark.homography.score import Frame, PairScore, score
from dift_geo.benchmark.homography.task import Homographies, pair_frame
from dift_geo.benchmark.loop import usable_items
from dift_geo.benchmark.methods import Method
from dift_geo.benchmark.results import versions
from dift_geo.dift.views import synthetic_view
from dift_geo.extractor import build_extractor
from dift_geo.geometry.homography import warp_points
from dift_geo.recipe import write_json

ESTIMATORS = ("magsac", "poselib", "pycolmap", "kornia", "ransac", "lmeds")
SIZE_WH = (1024, 768)
LIMITS_PX = (1, 3, 5)  # of the corner error
Scored = tuple[Frame, np.ndarray]  # a pair, and the scores of its matches
Settings = dict[str, list[Scored]]  # by name
BANDS = (0.0, 0.25, 0.5, 0.75, 1.01)  # of the true inlier share


def synthetic_frames(count: int, points: int, share: float, seed: int = 0) -> Iterator[Frame]:
    """Pairs of which `share` of the points follow a random homography."""
    for index in range(count):
        random = np.random.default_rng((seed, points, int(100 * share), index))
        _, H = synthetic_view(np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8), random)
        xy0 = random.uniform((0, 0), SIZE_WH, (points, 2))
        xy1 = warp_points(H, xy0) + random.normal(0, 0.7, xy0.shape)
        outliers = random.permutation(points)[round(share * points) :]
        xy1[outliers] = random.uniform((0, 0), SIZE_WH, (len(outliers), 2))
        yield Frame(xy0, xy1, H, SIZE_WH)


def real_frames(dataset: Path, cache: Path) -> list[Scored]:
    """RootSIFT matches of every pair of a benchmark, in the frame of the `dift` protocol."""
    protocol = protocol_named("dift")
    benchmark = read_benchmark(dataset)
    method = Method(
        "rootsift",
        build_extractor(descriptor="rootsift", max_keypoints=protocol.max_keypoints, size=None),
    )
    task = Homographies(benchmark, protocol)
    prepared = method.prepare(task.photos, cache, "cpu")
    pairs, _ = usable_items(task, [prepared])
    matches = prepared.match([(pair.name0, pair.name1) for pair in pairs])
    return [pair_frame(pair, prepared.features, matches, protocol) for pair in pairs]


def measure(estimator: str, frames: list[Scored]) -> list[PairScore]:
    """Scores of all frames by one estimator at 3 px and a budget that is the same for all."""
    protocol = replace(protocol_named("dift"), ransac=Ransac(estimator, 3.0, 10_000, 0.9999))
    # imports are not its time
    score(*frames[0][:1], protocol, sequence="warm-up", index=0, scores=frames[0][1])
    return [
        score(frame, protocol, sequence="", index=i, scores=scores)
        for i, (frame, scores) in enumerate(frames)
    ]


def row(rows: list[PairScore]) -> dict[str, float]:
    """Accuracy and time of some pairs."""
    errors = np.array([r.corner_px for r in rows])
    found = {f"acc@{limit}": float((errors <= limit).mean()) for limit in LIMITS_PX}
    milliseconds = [1000 * r.seconds for r in rows]
    return {**found, "ms": median(milliseconds), "ms_worst": max(milliseconds), "pairs": len(rows)}


def synthetic_settings(count: int, points: list[int], shares: list[float]) -> Settings:
    """`count` pairs of every number of points with every inlier share, by name."""
    settings = {}
    for number, share in product(points, shares):
        frames = synthetic_frames(count, number, share)
        settings[f"{number} points, {share:.0%}"] = [(frame, np.ones(number)) for frame in frames]
    return settings


def real_settings(dataset: Path, cache: Path) -> Settings:
    """All pairs of a benchmark, and those of each band of the true inlier share, by name."""
    real = real_frames(dataset, cache)
    protocol = protocol_named("mma")
    found = [score(f, protocol, sequence="", index=0, scores=scores) for f, scores in real]
    shares = [r.correct[2] / max(r.matches, 1) for r in found]
    settings = {"real, all": real}
    for low, high in pairwise(BANDS):
        chosen = [scored for scored, share in zip(real, shares) if low <= share < high]
        if chosen:
            settings[f"real, {low:.0%} to {min(high, 1):.0%}"] = chosen
    return settings


def as_table(results: dict[str, dict[str, dict[str, float]]], estimators: list[str]) -> str:
    """The results in Markdown, a row per setting."""
    lines = [
        "Accuracy at 1 / 3 / 5 px in per cent, median milliseconds per pair (worst).",
        "",
        "| matches, inlier share | pairs | " + " | ".join(estimators) + " |",
        "|---|---|" + "---|" * len(estimators),
    ]
    for setting, by_name in results.items():
        cells = [as_cell(by_name[name]) for name in estimators]
        pairs = by_name[estimators[0]]["pairs"]
        lines.append(f"| {setting} | {pairs} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_cell(found: dict[str, float]) -> str:
    accuracy = " / ".join(f"{100 * found[f'acc@{limit}']:.0f}" for limit in LIMITS_PX)
    return f"{accuracy}, {found['ms']:.1f} ({found['ms_worst']:.0f})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", type=Path, help="folder in HPatches layout")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--pairs", type=int, default=30, help="synthetic pairs per setting")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.8, 0.5, 0.3, 0.2, 0.1])
    parser.add_argument("--points", nargs="+", type=int, default=[500, 60])
    options = parser.parse_args(argv)

    settings = synthetic_settings(options.pairs, options.points, options.shares)
    if options.dataset:
        settings |= real_settings(options.dataset, options.out / "cache")
    results = {}
    for setting, frames in settings.items():
        results[setting] = {name: row(measure(name, frames)) for name in options.estimators}
    table = as_table(results, options.estimators)
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"max_error_px": 3.0, "settings": results, "versions": versions()}
    write_json(options.out / "estimators.json", record)
    (options.out / "estimators.md").write_text(table, encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    main()
