#!/usr/bin/env python3
r"""What does matching cost, against hloc's own program and against the bare products?

    PYTHONPATH=SITE_PACKAGES/deep_image_matching/thirdparty \
        python pipelines/bench/match.py --images 40 --points 2048 --dims 128 640

Made features, every image with every other, CPU seconds, in turn `--repeats` times, the lowest.
hloc is the copy inside the wheel `deep-image-matching`, its `match_features` with NN-mutual, or
with `--ratio` its NN-ratio at that ratio, on the same file and pairs; `--without-hloc` leaves it
out.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import torch

from dift_geo.engine.loops import match_pairs
from dift_geo.hloc_plugin import register
from dift_geo.matching.options import MatchOptions
from dift_geo.matching.product import product
from dift_geo.pairs.lists import write_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.types import Features, Keypoints


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads, and of the processes that it started and ended."""
    start = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - start


def write_features(path: Path, images: int, points: int, dim: int) -> list[str]:
    """Images that see half of a common crowd of points, the rest their own."""
    random = np.random.default_rng(0)
    common = random.standard_normal((points, dim))
    names = [f"{i:05}.jpg" for i in range(images)]
    with FeatureStore(path, {"made": [images, points, dim]}) as store:
        for name in names:
            rows = common[random.permutation(points)] + 0.4 * random.standard_normal((points, dim))
            rows[points // 2 :] = random.standard_normal((points - points // 2, dim))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            xy = random.uniform(0, 999, (points, 2))
            store.put(name, Features(Keypoints(xy, np.ones(points), (1000, 1000)), rows))
        store.merge()
    return names


def products(path: Path, pairs: list[tuple[str, str]], quicker: bool) -> None:
    """Nothing but the matrix products, by torch or by the library that matching takes."""
    with FeatureStore(path) as store:
        rows = {name: torch.from_numpy(store[name].descriptors) for name in store}
    size = len(next(iter(rows.values())))
    out = torch.empty(size, size)
    for a, b in pairs:
        if quicker:
            product(rows[a], rows[b])
        else:
            torch.mm(rows[a], rows[b].T, out=out)


def hloc_matches(features: Path, pairs: Path, out: Path, ratio: float | None) -> None:
    """hloc's program with its mutual nearest neighbours, and its ratio test if one is asked."""
    register()  # which gives the wheel's copy the logger that it lacks
    from hloc import match_features

    model = {"name": "nearest_neighbor", "do_mutual_check": True, "ratio_threshold": ratio}
    conf = {"output": "m", "model": model}
    match_features.main(conf, pairs, features, matches=out, overwrite=True)


def same_matches(ours: Path, theirs: Path) -> float:
    """The share of keypoints, over all pairs, for which two files say the same."""
    same = total = 0
    with h5py.File(ours) as a, h5py.File(theirs) as b:
        for name0 in b:
            for name1 in b[name0]:
                found, other = (file[name0][name1]["matches0"][:] for file in (a, b))
                same += int((found == other).sum())
                total += len(found)
    return same / total


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 640])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ratio", type=float, help="Lowe's ratio; without it none is tested")
    parser.add_argument("--without-hloc", action="store_true")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    logging.disable(logging.INFO)
    for dim in options.dims:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(measure(Path(place), dim, options)))
            sys.stdout.flush()


def measure(folder: Path, dim: int, options: argparse.Namespace) -> dict[str, object]:
    """Lowest CPU seconds of each, and what they are to each other."""
    features, listed = folder / "features.h5", folder / "pairs.txt"
    ours, theirs = folder / "ours.h5", folder / "theirs.h5"
    pairs = list(combinations(write_features(features, options.images, options.points, dim), 2))
    write_pairs(listed, pairs)
    asked = MatchOptions(ratio=options.ratio)
    spent: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        ours.unlink(missing_ok=True)
        spent.setdefault("ours", []).append(
            cpu_seconds(lambda: match_pairs(features, pairs, ours, asked))
        )
        for name, quicker in (("products", False), ("quicker products", True)):
            spent.setdefault(name, []).append(
                cpu_seconds(lambda quicker=quicker: products(features, pairs, quicker))
            )
        if not options.without_hloc:
            theirs.unlink(missing_ok=True)
            spent.setdefault("hloc", []).append(
                cpu_seconds(lambda: hloc_matches(features, listed, theirs, options.ratio))
            )
    seconds = {name: min(values) for name, values in spent.items()}
    result: dict[str, object] = {
        "pairs": len(pairs),
        "points": options.points,
        "dim": dim,
        "ratio": options.ratio,
        "threads": options.threads,
        "cpu_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "products / ours": round(seconds["products"] / seconds["ours"], 3),
        "quicker products / ours": round(seconds["quicker products"] / seconds["ours"], 3),
    }
    if "hloc" in seconds:
        result["hloc / ours"] = round(seconds["hloc"] / seconds["ours"], 2)
        result["same"] = round(same_matches(ours, theirs), 6)
    return result


if __name__ == "__main__":
    main()
