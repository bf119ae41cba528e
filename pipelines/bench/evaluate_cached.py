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
import os
import pstats
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dift_geo.benchmark.homography.data import Benchmark, read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.homography.task import Homographies
from dift_geo.benchmark.methods import Method
from dift_geo.benchmark.results import versions
from dift_geo.benchmark.run import evaluate
from dift_geo.detectors.contract import Detector
from dift_geo.extractor import Extractor, build_extractor
from dift_geo.recipe import write_json
from dift_geo.store.features import FeatureStore
from dift_geo.store.source import Source
from dift_geo.types import Keypoints

NUMBER = len("_00")  # what the name of a copy has more than that of the original
SHARES = {  # file and function of ours -> what to call its cumulative time
    ("mutual_nn.py", "match"): "matching",
    ("homography.py", "estimate_homography"): "RANSAC",
    ("base.py", "_look_up"): "reading stores",
    ("base.py", "flush"): "writing stores",
    ("table.py", "samples"): "resampling",
}


class NeverAsked(Detector):
    """A detector that stands for another whose keypoints are in the store."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    @property
    def name(self) -> str:
        return self.detector.name

    def detect(self, image: np.ndarray, name: str) -> Keypoints:
        raise AssertionError(f"features of {name} should have been cached")

    def recipe(self) -> dict[str, object]:
        return self.detector.recipe()


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


def copy_features(original: Path, path: Path, extractor: Extractor, large: Benchmark) -> None:
    """Give every image of the large benchmark the features of the image that it is a copy of."""
    with FeatureStore(original) as source, FeatureStore(path, extractor.recipe()) as target:
        for name in large.images:
            if name not in target:
                sequence, _, image = name.partition("/")
                features = source[f"{sequence[:-NUMBER]}/{image}"]
                target.put(name, features, Source.of(large.folder / name))
        target.merge()


def profiled(work: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """Seconds that some work takes, in all and by `SHARES`."""
    profile = cProfile.Profile()
    start = time.perf_counter()
    profile.runcall(work)
    seconds = time.perf_counter() - start
    parts = dict.fromkeys(SHARES.values(), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():
        part = SHARES.get((Path(file).name, function)) if "dift_geo" in file else None
        if part is not None:
            parts[part] += cumulative
    return seconds, {**parts, "everything else": seconds - sum(parts.values())}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=540)
    parser.add_argument("--max-keypoints", type=int, default=2048)
    options = parser.parse_args(argv)

    protocol, cache = protocol_named("mma"), options.out / "cache"
    extractor = build_extractor(
        descriptor="rootsift", max_keypoints=options.max_keypoints, size=None
    )
    small = Homographies(read_benchmark(options.dataset), protocol)
    Method("rootsift", extractor).prepare(small.photos, options.out / "small", "cpu")
    original = next((options.out / "small" / "rootsift").glob("features-*.h5"))
    large = read_benchmark(repeat(options.dataset, options.out / "repeated", options.pairs))
    copy_features(original, cache / "rootsift" / original.name, extractor, large)

    methods = [Method("rootsift", replace(extractor, detector=NeverAsked(extractor.detector)))]
    seconds, parts = profiled(
        lambda: evaluate(large, options.out / "result", methods, protocol, cache=cache, pictures=0)
    )
    record = {
        "pairs": len(large.pairs),
        "keypoints": options.max_keypoints,
        "seconds": seconds,
        "parts": parts,
        "versions": versions(),
    }
    write_json(options.out / "evaluate_cached.json", record)
    print(f"{len(large.pairs)} pairs in {seconds:.1f} s")
    for name, part in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:16} {part:7.1f} s  {part / seconds:6.1%}")


if __name__ == "__main__":
    main()
