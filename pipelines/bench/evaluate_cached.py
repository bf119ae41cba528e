#!/usr/bin/env python3
"""How long does scoring take when features are cached, and where does the time go?

    python pipelines/bench/evaluate_cached.py planar/ out/ --pairs 540

Repeats a small benchmark under new names until it has --pairs pairs, gives the copies the features
of the originals, and runs the evaluation on it with the profiler on: matching, MAGSAC, everything
else. Writes OUT/evaluate_cached.json.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import time
from pathlib import Path

from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import Method
from dift_geo.benchmark.run import evaluate
from dift_geo.extractor import build_extractor
from dift_geo.report.markdown import versions
from dift_geo.store.features import FeatureStore

SHARES = {  # function of ours -> what to call its cumulative time
    "match_mutual_nn": "matching",
    "estimate_homography": "RANSAC",
    "_read": "reading stores",
    "flush": "writing stores",
    "samples": "resampling",
}


class Copies:
    """An extractor that is never asked: its features are in the store."""

    def __init__(self, like) -> None:
        self.like = like

    def extract(self, image, name):
        raise AssertionError(f"features of {name} should have been cached")

    def recipe(self):
        return self.like.recipe()


def repeat(dataset: Path, folder: Path, pairs: int) -> Path:
    """The sequences of a benchmark under as many new names as give `pairs` pairs, as links."""
    benchmark = read_benchmark(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    made, copy = 0, 0
    while made < pairs:
        for sequence in benchmark.sequences:
            link = folder / f"{sequence}_{copy:02d}"
            if not link.exists():
                os.symlink((dataset / sequence).resolve(), link)
            made += sum(pair.sequence == sequence for pair in benchmark.pairs)
            if made >= pairs:
                break
        copy += 1
    return folder


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=540)
    parser.add_argument("--max-keypoints", type=int, default=2048)
    options = parser.parse_args(argv)

    protocol = protocol_named("mma")
    extractor = build_extractor(
        descriptor="rootsift", max_keypoints=options.max_keypoints, size=None
    )
    small, cache = read_benchmark(options.dataset), options.out / "cache"
    Method("rootsift", extractor).prepare(small, protocol, options.out / "small", "cpu")
    original = next((options.out / "small" / "rootsift").glob("features-*.h5"))
    large = read_benchmark(repeat(options.dataset, options.out / "repeated", options.pairs))
    with (
        FeatureStore(original) as source,
        FeatureStore(cache / "rootsift" / original.name, extractor.recipe()) as target,
    ):
        for name in large.images:
            if name not in target:
                # without the copy's number
                target[name] = source[name[: name.index("/") - 3] + name[name.index("/") :]]
        target.merge()

    profile = cProfile.Profile()
    start = time.perf_counter()
    profile.enable()
    methods = [Method("rootsift", Copies(extractor))]
    evaluate(large, options.out / "result", methods, protocol, cache=cache, pictures=0)
    profile.disable()
    seconds = time.perf_counter() - start
    parts = dict.fromkeys(SHARES.values(), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if "dift_geo" in file and function in SHARES:
            parts[SHARES[function]] += cumulative
    parts["everything else"] = seconds - sum(parts.values())
    record = {
        "pairs": len(large.pairs),
        "keypoints": options.max_keypoints,
        "seconds": seconds,
        "parts": parts,
    }
    (options.out / "evaluate_cached.json").write_text(
        json.dumps({**record, "versions": versions()}, indent=1) + "\n"
    )
    print(f"{len(large.pairs)} pairs in {seconds:.1f} s")
    for name, part in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:16} {part:7.1f} s  {part / seconds:6.1%}")


if __name__ == "__main__":
    main()
