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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.backends.device import Precision
from dift_geo.backends.tiny import WEIGHTS, Tiny
from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.detectors.sift import Sift
from dift_geo.dift.calibration import correspondences, mma, synthetic_view
from dift_geo.dift.config import DiftConfig
from dift_geo.dift.describer import Dift
from dift_geo.dift.joined import join
from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.images import list_images, read_image, resize_longest
from dift_geo.types import Keypoints

SIZE = 640
Rows = NDArray[np.float32]
Describe = Callable[[NDArray[np.uint8], Keypoints, str], Rows]


@dataclass(frozen=True)
class Setting:
    """A row: changes of the shipped `DiftConfig`, the weights, and what is done with raw
    descriptors.

    projection: `fitted`, `cosine` (fitted, without the constant), `pca`, `raw`, or `head`: an MLP
    on top of the fitted one. rootsift: `joined` by weight, `inside` the projection, or `alone`
    instead of the network.
    """

    config: dict[str, Any] = field(default_factory=dict)
    projection: str = "fitted"
    dim: int = 128
    constant: float = 2.0
    random_weights: bool = False
    rootsift: Literal["", "joined", "inside", "alone"] = ""


SETTINGS = {
    "as shipped": Setting(),
    "random weights": Setting(random_weights=True),
    "raw descriptors": Setting(projection="raw"),
    "PCA": Setting(projection="pca"),
    "whitened, cosine (no constant)": Setting(projection="cosine"),
    "whitened, cosine, random weights": Setting(projection="cosine", random_weights=True),
    "constant 1": Setting(constant=1.0),
    "constant 4": Setting(constant=4.0),
    "64 dimensions": Setting(dim=64),
    "256 dimensions": Setting(dim=256),
    "head trained by InfoNCE": Setting(projection="head"),
    "extent 16, no tilt: one patch": Setting({"extents": (16.0,), "tilt": 1.0}),
    "extents 12, 16, 24, no tilt": Setting({"tilt": 1.0}),
    "extent 16, tilt 5/3": Setting({"extents": (16.0,)}),
    "extents 12, 20": Setting({"extents": (12.0, 20.0)}),
    "extents 10, 16, 28": Setting({"extents": (10.0, 16.0, 28.0)}),
    "tilt 5/2": Setting({"tilt": 2.5}),
    "first down block": Setting({"layers": (-4,), "grid": 4}),
    "first down block, random weights": Setting({"layers": (-4,), "grid": 4}, random_weights=True),
    "second down block": Setting({"layers": (-3,), "grid": 4}),
    "middle block": Setting({"layers": (-1,)}),
    "up block 0": Setting({"layers": (0,), "grid": 4}),
    "up block 1": Setting({"layers": (1,), "grid": 4}),
    "up block 2": Setting({"layers": (2,), "grid": 4}),
    "second and third down block": Setting({"layers": (-3, -2), "grid": 4}),
    "second and third down block, random weights": Setting(
        {"layers": (-3, -2), "grid": 4}, random_weights=True
    ),
    "third down block and middle": Setting({"layers": (-2, -1)}),
    "grid 1 (centre)": Setting({"grid": 1}),
    "t = 0": Setting({"t": 0}),
    "t = 300": Setting({"t": 300}),
    "noisy input, t = 100": Setting({"noisy": True}),
    "noisy input, t = 100, 4 draws": Setting({"noisy": True, "ensemble": 4}),
    "patches of 64 px": Setting({"patch_px": 64, "grid": 4}),
    "RootSIFT beside, joined by weight": Setting(rootsift="joined"),
    "RootSIFT inside the projection": Setting(rootsift="inside", dim=256, constant=4.0),
    "RootSIFT inside, random weights": Setting(
        rootsift="inside", dim=256, constant=4.0, random_weights=True
    ),
    "RootSIFT alone, projected": Setting(rootsift="alone"),
}


@dataclass(frozen=True)
class Pair:
    """Two pictures and keypoints in each; for fitting these correspond row by row. sizes_wh: of the
    frame of H.
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


class Head:
    """An MLP added to a fitted projection, trained by InfoNCE on squared distances (van den Oord et
    al. 2018), trunk frozen.
    """

    def __init__(self, start: Projection, hidden: int = 1024) -> None:
        # in the units that the matrix is scaled to
        self.constant, self.length = start.constant, 1.0
        self.mean = torch.from_numpy(start.mean)
        self.matrix = torch.nn.Parameter(torch.from_numpy(start.matrix) / start.length)
        self.mlp = torch.nn.Sequential(
            torch.nn.Linear(start.input_dim, hidden),
            torch.nn.SiLU(),
            torch.nn.Linear(hidden, self.matrix.shape[1], bias=False),
        )
        torch.nn.init.zeros_(self.mlp[2].weight)  # it starts as the projection
        self.sharpness = torch.nn.Parameter(torch.tensor(10.0).log())

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        centred = rows - self.mean
        return centred @ self.matrix + self.mlp(8 * centred)

    def train(self, rows0: Rows, rows1: Rows, epochs: int, batch: int = 1024) -> Head:
        """On corresponding rows, (N, D) twice: each row's partner against all others of the batch,
        both ways.
        """
        pair, random = (
            (torch.from_numpy(rows0), torch.from_numpy(rows1)),
            torch.Generator().manual_seed(0),
        )
        steps = epochs * max(1, len(rows0) // batch)
        parameters = [self.matrix, self.sharpness, *self.mlp.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 1e-3, total_steps=steps, pct_start=0.1
        )
        for _ in tqdm(range(steps), "head", unit="step", leave=False):
            chosen = torch.randint(len(rows0), (min(batch, len(rows0)),), generator=random)
            logits = (
                -(torch.cdist(*(self(rows[chosen]) for rows in pair)) ** 2) * self.sharpness.exp()
            )
            truth = torch.arange(len(chosen))
            loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            self.length = float(self(pair[0]).square().sum(1).mean().sqrt())
        return self

    def apply(self, rows: Rows) -> Rows:
        """(N, D) -> unit rows with the constant, as `Projection.apply`."""
        with torch.inference_mode():
            out = F.pad(self(torch.from_numpy(rows)), (0, 1), value=self.constant * self.length)
            return F.normalize(out).numpy()


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


def main(argv: list[str] | None = None) -> None:
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
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "search.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    names = (
        options.names.read_text(encoding="utf-8").splitlines()
        if options.names
        else list_images(options.photos)
    )
    names = [str(name) for name in np.random.default_rng(0).permutation(names)]
    sift = Sift(options.max_keypoints)
    views = training_pairs(options.photos, names, sift, options.fit_pairs)
    scored_on = test_pairs(options.dataset, options.sequences, sift)
    rootsift: Describe = lambda image, keypoints, name: sift.describe(image, keypoints)  # noqa: E731
    if "RootSIFT" not in results:
        results["RootSIFT"] = score(Setting(projection="raw"), rootsift, None, scored_on, sift)
    rows = [(name, SETTINGS[name], options.weights) for name in options.settings]
    if options.curve is not None:
        snapshots = sorted(
            (options.curve / "snapshots").iterdir(), key=lambda folder: float(folder.name)
        )
        rows += [
            (f"{float(folder.name):g} minutes of training", Setting(), folder)
            for folder in snapshots
        ]
    for name, setting, weights in rows:
        if name in results:
            continue
        random_seed = 0 if setting.random_weights else None
        backend = Tiny(weights, precision=options.precision, random_seed=random_seed)
        beside = sift if setting.rootsift == "inside" else None
        dift = Dift(backend, sift, DiftConfig.default("tiny"), None, beside=beside).with_config(
            **setting.config
        )
        describe = rootsift if setting.rootsift == "alone" else dift.raw_descriptors
        head = setting.projection == "head"
        fitted_on = (
            training_pairs(options.photos, names, sift, options.head_pairs) if head else views
        )
        fitted = fit(setting, describe, fitted_on, options.head_epochs)
        results[name] = score(setting, describe, fitted, scored_on, sift)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (options.out / "search.md").write_text(table(results), encoding="utf-8")
        print(
            f"{name}: MMA@3px {results[name]['mma@3']}, {results[name]['correct']} correct",
            flush=True,
        )
    print(table(results))


if __name__ == "__main__":
    main()
