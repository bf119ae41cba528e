#!/usr/bin/env python3
"""What matters when descriptors are read from the embedded diffusion model: one table, a row per
setting.

    python pipelines/search.py PHOTOS planar/ OUT --sequences v_wall i_leuven v_churchill

Every row changes one thing of the shipped settings, fits its own projection on synthetic views of
PHOTOS and is scored on the sequences named, which should not be those that results are reported on:
MMA@3px and correct matches, mutual nearest neighbours of at most 1000 SIFT keypoints, longest side
640. Writes OUT/search.md and OUT/search.json after every row and goes on from them when started
again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from search_head import Head, Rows
from search_settings import SETTINGS, Setting
from tqdm import tqdm

from dift_geo.backends.config import DiftConfig
from dift_geo.backends.device import Precision
from dift_geo.backends.tiny import WEIGHTS, Tiny
from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.describer import Dift
from dift_geo.dift.joined import join
from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.dift.views import correspondences, mma, synthetic_view
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.types import Keypoints

SIZE = 640
Describe = Callable[[NDArray[np.uint8], Keypoints, str], Rows]


@dataclass(frozen=True)
class Pair:
    """Two pictures and keypoints in each.

    names, images: of the pictures, (H, W, 3) uint8 RGB.
    keypoints: of each; for fitting they correspond row by row.
    H_1_from_0: takes pixels of the first to the second, in pictures of `sizes_wh`.
    """

    names: tuple[str, str]
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    keypoints: tuple[Keypoints, Keypoints]
    H_1_from_0: NDArray[np.float64]
    sizes_wh: tuple[tuple[int, int], tuple[int, int]]


def training_pairs(photos: Path, names: list[str], detector: Sift, count: int) -> list[Pair]:
    """Synthetic views of photos, at the keypoints found in both, until there are `count`
    correspondences.
    """
    pairs: list[Pair] = []
    found = 0
    for index, name in enumerate(tqdm(names, "views", unit="photo")):
        image = resize_longest(read_image(photos / name), SIZE)
        view, H = synthetic_view(image, np.random.default_rng((0, index)))
        keypoints0, keypoints1 = detector.detect(image), detector.detect(view)
        rows, wh = correspondences(keypoints0, keypoints1, H), keypoints0.size_wh
        pairs.append(
            Pair(
                (name, f"{name}#"),
                (image, view),
                (keypoints0[rows[:, 0]], keypoints1[rows[:, 1]]),
                H,
                (wh, wh),
            )
        )
        found += len(rows)
        if found >= count:
            break
    return pairs


def test_pairs(dataset: Path, sequences: list[str], detector: Sift) -> list[Pair]:
    """The pairs of the sequences: pictures and keypoints resized, homographies between the
    originals.
    """

    def load(name: str) -> tuple[NDArray[np.uint8], Keypoints, tuple[int, int]]:
        original = read_image(dataset / name)
        image = resize_longest(original, SIZE)
        return image, detector.detect(image), original.shape[1::-1]  # type: ignore[return-value]

    pairs = []
    for pair in read_benchmark(dataset, sequences=sequences).pairs:
        names = pair.name0, pair.name1
        images, keypoints, sizes_wh = zip(*map(load, names))
        pairs.append(Pair(names, images, keypoints, pair.H_1_from_0, sizes_wh))
    return pairs


def fit(
    setting: Setting, describe: Describe, pairs: list[Pair], epochs: int
) -> Projection | Head | None:
    if setting.projection == "raw":
        return None
    statistics, kept = PairStatistics(), []
    for pair in tqdm(pairs, "fit", unit="view", leave=False):
        both = [describe(*each) for each in zip(pair.images, pair.keypoints, pair.names)]
        statistics.add(*both)
        if setting.projection == "head":
            kept.append(both)
    if setting.projection == "pca":  # the same, as if views differed equally in every direction
        statistics.within = np.eye(len(statistics.within)) * statistics.count
    constant = setting.constant if setting.projection in ("fitted", "head") else 0.0
    projection = statistics.projection(setting.dim, constant=constant)
    if setting.projection != "head":
        return projection
    return Head(projection).train(*(np.concatenate(rows) for rows in zip(*kept)), epochs=epochs)


def score(
    setting: Setting,
    describe: Describe,
    projection: Projection | Head | None,
    pairs: list[Pair],
    sift: Sift,
) -> dict[str, Any]:
    """MMA@3px in per cent and correct matches by sequence, and their means over sequences."""
    cache: dict[str, Rows] = {}

    def rows_of(name: str, image: NDArray[np.uint8], keypoints: Keypoints) -> Rows:
        if name not in cache:
            rows = describe(image, keypoints, name)
            rows = (
                projection.apply(rows)
                if projection
                else rows / np.linalg.norm(rows, axis=1, keepdims=True)
            )
            if setting.rootsift == "joined":
                weight = projection.weight if isinstance(projection, Projection) else 1.0
                rows = join([rows, sift.describe(image, keypoints)], [weight, 1.0])
            cache[name] = rows
        return cache[name]

    found: dict[str, list[tuple[float, int]]] = {}
    for pair in tqdm(pairs, "score", unit="pair", leave=False):
        rows0, rows1 = (rows_of(*each) for each in zip(pair.names, pair.images, pair.keypoints))
        found.setdefault(pair.names[0].split("/")[0], []).append(scored(pair, rows0, rows1))
    sequences = {name: np.mean(values, 0).tolist() for name, values in found.items()}
    mean = np.mean(list(sequences.values()), 0)
    return {"mma@3": round(100 * mean[0], 1), "correct": round(mean[1], 1), "sequences": sequences}


def scored(pair: Pair, rows0: Rows, rows1: Rows) -> tuple[float, int]:
    """`calibration.mma` in the frame of the original pictures, where the homography and its 3 px
    are.
    """
    keypoints0, keypoints1 = (k.resized_to(wh) for k, wh in zip(pair.keypoints, pair.sizes_wh))
    return mma(keypoints0, keypoints1, rows0, rows1, pair.H_1_from_0)


def table(results: dict[str, Any]) -> str:
    lines = ["| setting | MMA@3px | correct matches |", "|---|---|---|"]
    lines += [
        f"| {name} | {row['mma@3']:.1f} | {row['correct']:.0f} |" for name, row in results.items()
    ]
    return "\n".join(lines) + "\n"


def changed(backend: Tiny, setting: Setting) -> DiftConfig:
    """The settings of the oriented reading with a row's changes."""
    config = backend.settings("oriented", "default")
    return replace(config, reading=replace(config.reading, **setting.reading), **setting.config)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sequences", nargs="+", required=True)
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="which photos, a name a line; default: all below PHOTOS",
    )
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="model folder; default: the shipped one"
    )
    parser.add_argument(
        "--curve",
        type=Path,
        metavar="WORK",
        help="also a row for every snapshot of a training there",
    )
    parser.add_argument(
        "--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS), metavar="ROW"
    )
    parser.add_argument("--fit-pairs", type=int, default=20_000)
    parser.add_argument(
        "--head-pairs", type=int, default=100_000, help="that the trained head learns from"
    )
    parser.add_argument("--head-epochs", type=int, default=8)
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="bfloat16 where the CPU has it",
    )
    parser.add_argument("--max-keypoints", type=int, default=1000)
    return parser.parse_args(argv)


def rows_asked(options: argparse.Namespace) -> list[tuple[str, Setting, Path]]:
    """Name, setting and weights of each row."""
    rows = [(name, SETTINGS[name], options.weights) for name in options.settings]
    if options.curve is None:
        return rows
    folders = (options.curve / "snapshots").iterdir()
    for folder in sorted(folders, key=lambda folder: float(folder.name)):
        rows.append((f"{float(folder.name):g} minutes of training", Setting(), folder))
    return rows


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "search.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    names = list_images(options.photos)
    if options.names:
        names = options.names.read_text(encoding="utf-8").splitlines()
    names = [str(name) for name in np.random.default_rng(0).permutation(names)]
    sift = Sift(options.max_keypoints)
    views = training_pairs(options.photos, names, sift, options.fit_pairs)
    scored_on = test_pairs(options.dataset, options.sequences, sift)
    rootsift = RootSift(sift)
    if "RootSIFT" not in results:
        raw = Setting(projection="raw")
        results["RootSIFT"] = score(raw, rootsift.describe, None, scored_on, sift)
    for name, setting, weights in rows_asked(options):
        if name in results:
            continue
        random_seed = 0 if setting.random_weights else None
        backend = Tiny(weights, precision=options.precision, random_seed=random_seed)
        beside = rootsift if setting.rootsift == "inside" else None
        dift = Dift(backend, sift, changed(backend, setting), None, beside=beside)
        describe = rootsift.describe if setting.rootsift == "alone" else dift.raw_descriptors
        fitted_on = views
        if setting.projection == "head":
            fitted_on = training_pairs(options.photos, names, sift, options.head_pairs)
        fitted = fit(setting, describe, fitted_on, options.head_epochs)
        row = results[name] = score(setting, describe, fitted, scored_on, sift)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (options.out / "search.md").write_text(table(results), encoding="utf-8")
        print(f"{name}: MMA@3px {row['mma@3']}, {row['correct']} correct", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
