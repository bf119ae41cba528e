#!/usr/bin/env python3
"""What matters when descriptors are read from the embedded diffusion model: one table, a row per setting.

    python pipelines/search.py PHOTOS planar/ OUT --sequences v_wall i_leuven v_churchill

Every row changes one thing of the shipped settings, fits its own projection on synthetic views of PHOTOS and is scored on the
sequences named, which should not be those that results are reported on: MMA@3px and correct matches, mutual nearest
neighbours of at most 1000 SIFT keypoints, longest side 640. Writes OUT/search.md and OUT/search.json after every row and
goes on from them when started again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.backends.tiny import Tiny
from dift_geo.benchmark_data import read_benchmark
from dift_geo.calibration import correspondences, mma, synthetic_view
from dift_geo.diffusion import Dift, DiftConfig
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.keypoints import Sift
from dift_geo.projection import PairStatistics, Projection
from dift_geo.types import Keypoints

SIZE = 640
Rows = NDArray[np.float32]
Describe = Callable[[NDArray[np.uint8], Keypoints, str], Rows]


@dataclass(frozen=True)
class Setting:
    """A row: changes of the shipped `DiftConfig`, the weights, and what is done with raw descriptors.

    projection: `fitted`, `cosine` (fitted, without the constant), `pca` or `raw`. rootsift: joined with it.
    """

    config: dict[str, Any] = field(default_factory=dict)
    projection: str = "fitted"
    dim: int = 128
    constant: float = 2.0
    random_weights: bool = False
    rootsift: bool = False


SETTINGS = {
    "as shipped": Setting(),
    "random weights": Setting(random_weights=True),
    "cosine of whitened rows (no constant)": Setting(projection="cosine"),
    "cosine, random weights": Setting(projection="cosine", random_weights=True),
    "raw descriptors": Setting(projection="raw"),
    "PCA": Setting(projection="pca"),
    "constant 1": Setting(constant=1.0),
    "constant 4": Setting(constant=4.0),
    "64 dimensions": Setting(dim=64),
    "256 dimensions": Setting(dim=256),
    "one extent: 12": Setting({"extents": (12.0,)}),
    "up block 1 at 8": Setting({"layers": (1,), "extents": (8.0,)}),
    "up block 1 at 12": Setting({"layers": (1,), "extents": (12.0,)}),
    "up block 1 at 16": Setting({"layers": (1,), "extents": (16.0,)}),
    "up block 1 at 8, 16": Setting({"layers": (1, 1), "extents": (8.0, 16.0)}),
    "first down block at 12": Setting({"layers": (-4,), "extents": (12.0,)}),
    "middle at 12": Setting({"layers": (-1,), "extents": (12.0,)}),
    "up block 0 at 12": Setting({"layers": (0,), "extents": (12.0,)}),
    "up block 2 at 12": Setting({"layers": (2,), "extents": (12.0,)}),
    "first down block at 8, up block 1 at 16": Setting({"layers": (-4, 1)}),
    "middle at 8 and 12, up block 1 at 16": Setting({"layers": (-1, -1, 1), "extents": (8.0, 12.0, 16.0)}),
    "first down block and middle at 8, 12, 16": Setting(
        {"layers": (-4, -1) * 3, "extents": (8.0, 8.0, 12.0, 12.0, 16.0, 16.0)}
    ),
    "grid 1 (centre)": Setting({"grid": 1}),
    "grid 2": Setting({"grid": 2}),
    "t = 0": Setting({"t": 0}),
    "t = 300": Setting({"t": 300}),
    "noisy input, t = 100": Setting({"noisy": True}),
    "noisy input, 4 draws": Setting({"noisy": True, "ensemble": 4}),
    "patches of 64 px": Setting({"patch_px": 64}),
    "with RootSIFT": Setting(rootsift=True),
}


@dataclass(frozen=True)
class Pair:
    """Two pictures and keypoints in each; for fitting these correspond row by row. sizes_wh: of the frame of H."""

    names: tuple[str, str]
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    keypoints: tuple[Keypoints, Keypoints]
    H_1_from_0: NDArray[np.float64]
    sizes_wh: tuple[tuple[int, int], tuple[int, int]]


def training_pairs(photos: Path, names: list[str], detector: Sift, count: int) -> list[Pair]:
    """Synthetic views of photos, at the keypoints found in both, until there are `count` correspondences."""
    pairs: list[Pair] = []
    found = 0
    for index, name in enumerate(tqdm(names, "views", unit="photo")):
        image = resize_longest(read_image(photos / name), SIZE)
        view, H = synthetic_view(image, np.random.default_rng((0, index)))
        keypoints0, keypoints1 = detector.detect(image), detector.detect(view)
        rows, wh = correspondences(keypoints0, keypoints1, H), keypoints0.size_wh
        pairs.append(Pair((name, f"{name}#"), (image, view), (keypoints0[rows[:, 0]], keypoints1[rows[:, 1]]), H, (wh, wh)))
        found += len(rows)
        if found >= count:
            break
    return pairs


def test_pairs(dataset: Path, sequences: list[str], detector: Sift) -> list[Pair]:
    """The pairs of the sequences: pictures and keypoints resized, homographies between the originals."""

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


def fit(setting: Setting, describe: Describe, pairs: list[Pair]) -> Projection | None:
    if setting.projection == "raw":
        return None
    statistics = PairStatistics()
    for pair in tqdm(pairs, "fit", unit="view", leave=False):
        statistics.add(*(describe(*each) for each in zip(pair.images, pair.keypoints, pair.names)))
    if setting.projection == "pca":  # the same, as if views differed equally in every direction
        statistics.within = np.eye(len(statistics.within)) * statistics.count
    constant = setting.constant if setting.projection == "fitted" else 0.0
    return statistics.projection(setting.dim, 1e-2, constant=constant)


def score(setting: Setting, describe: Describe, projection: Projection | None, pairs: list[Pair], sift: Sift) -> dict[str, Any]:
    """MMA@3px in per cent and correct matches by sequence, and their means over sequences."""
    cache: dict[str, Rows] = {}

    def rows_of(name: str, image: NDArray[np.uint8], keypoints: Keypoints) -> Rows:
        if name not in cache:
            rows = describe(image, keypoints, name)
            rows = projection.apply(rows) if projection else rows / np.linalg.norm(rows, axis=1, keepdims=True)
            if setting.rootsift:
                weight = np.float32(1 + (projection.constant**2 if projection else 0))  # as `dift+rootsift` does
                joined = [np.sqrt(weight) * rows, sift.describe(image, keypoints)]
                rows = np.concatenate(joined, 1) / np.sqrt(1 + weight)
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
    """`calibration.mma` in the frame of the original pictures, where the homography and its 3 px are."""
    keypoints0, keypoints1 = (k.resized_to(wh) for k, wh in zip(pair.keypoints, pair.sizes_wh))
    return mma(keypoints0, keypoints1, rows0, rows1, pair.H_1_from_0)


def table(results: dict[str, Any]) -> str:
    lines = ["| setting | MMA@3px | correct matches |", "|---|---|---|"]
    lines += [f"| {name} | {row['mma@3']:.1f} | {row['correct']:.0f} |" for name, row in results.items()]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sequences", nargs="+", required=True)
    parser.add_argument("--names", type=Path, metavar="FILE", help="which photos, a name a line; default: all below PHOTOS")
    parser.add_argument("--weights", type=Path, help="model folder; default: the shipped one")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="ROW")
    parser.add_argument("--fit-pairs", type=int, default=20_000)
    parser.add_argument("--max-keypoints", type=int, default=1000)
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "search.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    names = options.names.read_text(encoding="utf-8").splitlines() if options.names else list_images(options.photos)
    names = [str(name) for name in np.random.default_rng(0).permutation(names)]
    sift = Sift(options.max_keypoints)
    fitted_on = training_pairs(options.photos, names, sift, options.fit_pairs)
    scored_on = test_pairs(options.dataset, options.sequences, sift)
    if "RootSIFT" not in results:
        rootsift: Describe = lambda image, keypoints, name: sift.describe(image, keypoints)  # noqa: E731
        results["RootSIFT"] = score(Setting(projection="raw"), rootsift, None, scored_on, sift)
    weights = {} if options.weights is None else {"folder": options.weights}
    for name in options.settings:
        if name in results:
            continue
        setting = SETTINGS[name]
        config = DiftConfig.default("tiny")
        backend = Tiny(**weights, random_seed=0 if setting.random_weights else None)
        describe = Dift(backend, sift, config, None).with_config(**setting.config).raw_descriptors
        results[name] = score(setting, describe, fit(setting, describe, fitted_on), scored_on, sift)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (options.out / "search.md").write_text(table(results), encoding="utf-8")
        print(f"{name}: MMA@3px {results[name]['mma@3']}, {results[name]['correct']} correct", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
