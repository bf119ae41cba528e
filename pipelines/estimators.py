#!/usr/bin/env python3
"""Which homography estimator? Accuracy against time and inlier share, for all that `--estimator`
offers.

    python pipelines/estimators.py out/ --dataset hpatches/

Synthetic pairs: points of a 1024 x 768 image under random homographies, 0.7 px of Gaussian noise,
outliers uniform in the image. With --dataset also the RootSIFT matches of real sequences (original
resolution, 1000 keypoints), split by the true inlier share. All at a threshold of 3 px; the error
is the mean corner distance of the `dift` protocol. Writes OUT/estimators.json and
OUT/estimators.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
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

ESTIMATORS = ("magsac", "poselib", "pycolmap", "kornia", "ransac", "lmeds")
SIZE_WH = (1024, 768)
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


def real_frames(dataset: Path, cache: Path) -> list[tuple[Frame, np.ndarray]]:
    """RootSIFT matches of every pair of a benchmark, in the frame of the `dift` protocol, with
    their scores.
    """
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


def measure(estimator: str, frames: list[tuple[Frame, np.ndarray]]) -> list[PairScore]:
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
    found = {f"acc@{limit}": float((errors <= limit).mean()) for limit in (1, 3, 5)}
    milliseconds = [1000 * r.seconds for r in rows]
    return {**found, "ms": median(milliseconds), "ms_worst": max(milliseconds), "pairs": len(rows)}


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

    settings: dict[str, list[tuple[Frame, np.ndarray]]] = {}
    for points in options.points:
        for share in options.shares:
            frames = synthetic_frames(options.pairs, points, share)
            settings[f"{points} points, {share:.0%}"] = [
                (frame, np.ones(points)) for frame in frames
            ]
    if options.dataset:
        real = real_frames(options.dataset, options.out / "cache")
        inliers = [score(f, protocol_named("mma"), sequence="", index=0, scores=s) for f, s in real]
        shares = [r.correct[2] / max(r.matches, 1) for r in inliers]
        settings["real, all"] = real
        for low, high in pairwise(BANDS):
            chosen = [frame for frame, share in zip(real, shares) if low <= share < high]
            if chosen:
                settings[f"real, {low:.0%} to {min(high, 1):.0%}"] = chosen
    results = {
        s: {e: row(measure(e, frames)) for e in options.estimators}
        for s, frames in settings.items()
    }

    options.out.mkdir(parents=True, exist_ok=True)
    record = {"max_error_px": 3.0, "settings": results, "versions": versions()}
    (options.out / "estimators.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )
    lines = ["Accuracy at 1 / 3 / 5 px in per cent, median milliseconds per pair (worst).", ""]
    lines += [
        "| matches, inlier share | pairs | " + " | ".join(options.estimators) + " |",
        "|---|---|" + "---|" * len(options.estimators),
    ]
    for setting, by_name in results.items():
        cells = [
            f"{100 * r['acc@1']:.0f} / {100 * r['acc@3']:.0f} / {100 * r['acc@5']:.0f}, "
            f"{r['ms']:.1f} ({r['ms_worst']:.0f})"
            for r in by_name.values()
        ]
        lines.append(f"| {setting} | {len(settings[setting])} | " + " | ".join(cells) + " |")
    (options.out / "estimators.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
