#!/usr/bin/env python3
r"""Does matching stay linear? Made descriptors, few pairs against many, then a rerun.

Each is a process of its own; the rerun finds nothing to do.

    python pipelines/bench/scale.py --images 5000 --pairs 100000 --few 1000 --points 64 --dim 64

Each image is matched with the next ones in order. Time is CPU seconds of all threads, memory the
most that was resident; both are of `match_pairs` in its process, less what was there before it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from dift_geo.engine.loops import match_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.types import Features, Keypoints, Pair


def write_features(path: Path, images: int, points: int, dim: int) -> None:
    """Images of made descriptors, half of them common to all."""
    random = np.random.default_rng(0)
    common = random.standard_normal((points, dim))
    with FeatureStore(path, {"made": [images, points, dim]}) as store:
        for i in range(images):
            rows = common + 0.4 * random.standard_normal((points, dim))
            rows[points // 2 :] = random.standard_normal((points - points // 2, dim))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            xy = random.uniform(0, 999, (points, 2))
            store.put(f"{i:06}.jpg", Features(Keypoints(xy, np.ones(points), (1000, 1000)), rows))
            store.flush_every(20)
        store.merge()


def pairs_ahead(images: int, count: int) -> list[Pair]:
    """`count` pairs, each image with the next ones."""
    ahead = -(-count // images)
    pairs = [
        (f"{i:06}.jpg", f"{j:06}.jpg")
        for i in range(images)
        for j in range(i + 1, min(images, i + 1 + ahead))
    ]
    return pairs[:count]


def match_here(features: Path, out: Path, images: int, count: int) -> dict[str, float]:
    """Match in this process; what it took."""
    torch.set_num_threads(1)
    pairs = pairs_ahead(images, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = sum(os.times()[:2])
    match_pairs(features, pairs, out)
    seconds = sum(os.times()[:2]) - begun
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pairs": len(pairs),
        "cpu_seconds": round(seconds, 2),
        "ms_a_pair": round(1000 * seconds / len(pairs), 4),
        "resident_mb": round(most / 1024),
        "of_that_before_mb": round(before / 1024),
        "bytes_a_pair": round(out.stat().st_size / len(pairs)),
    }


def match_apart(features: Path, out: Path, images: int, count: int) -> dict[str, float]:
    """The same in a process of its own."""
    words = ["--one", str(features), str(out), "--images", str(images), "--pairs", str(count)]
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(match_here(*options.one, options.images, options.pairs)))
        return
    with tempfile.TemporaryDirectory() as place:
        features = Path(place) / "features.h5"
        write_features(features, options.images, options.points, options.dim)
        few = match_apart(features, Path(place) / "few.h5", options.images, options.few)
        many = match_apart(features, Path(place) / "many.h5", options.images, options.pairs)
        again = match_apart(features, Path(place) / "many.h5", options.images, options.pairs)
    print(json.dumps({"few": few, "many": many, "again": again}))
    print(json.dumps({"many / few, a pair": round(many["ms_a_pair"] / few["ms_a_pair"], 3)}))


if __name__ == "__main__":
    main()
