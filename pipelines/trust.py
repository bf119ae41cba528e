#!/usr/bin/env python3
"""Does the certificate of trust tell right models from wrong ones? Models of known truth, by the
dozen, made well and badly on purpose.

    python pipelines/trust.py scenes/ out/ --detector aliked --seeds 2

Scenes are folders with images/ and cameras_gt.txt. Of each, bags of photos are reconstructed as
`dift-geo reconstruct` does, and again spoilt: without a ratio test, from few photos, with focal
lengths that are wrong, with a part of the matches shuffled, by the global mapper. A model is good
where the median error of its relative poses is below 1 degree, bad where it is above 3; what lies
between counts as neither. Features are made once and kept in OUT.
Writes OUT/trust.json, a row a model, and OUT/trust.md.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.mapping import MapperName, Reconstruction
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import NoModelError
from dift_geo.extractor import ExtractorOptions
from dift_geo.geometry.pose import relative_pose_errors_deg
from dift_geo.matching.options import MatchOptions
from dift_geo.recipe import write_json, write_whole
from dift_geo.sfm import SfmOptions, reconstruct_from_stores
from dift_geo.store.matches import MatchStore
from dift_geo.types import Matches

GOOD_DEG, BAD_DEG = 1.0, 3.0
FEW = 5  # photos
Row = dict[str, Any]


@dataclass(frozen=True)
class Spoiling:
    """What is done to a bag before it is reconstructed.

    ratio: Lowe's ratio test.
    photos: of the bag that are left; None is all.
    focal: by which the true focal lengths are multiplied and given as known; None gives nothing.
    shuffled: the share of the matches whose ends are exchanged among each other.
    mapper: COLMAP's; the global one fails on small sets of internet photos.
    """

    ratio: float | None = 0.9
    photos: int | None = None
    focal: float | None = None
    shuffled: float = 0.0
    mapper: MapperName = "incremental"


SPOILINGS = {
    "as it is": Spoiling(),
    "no ratio test": Spoiling(ratio=None),
    "few photos": Spoiling(photos=FEW),
    "focal lengths wrong": Spoiling(focal=1.8),
    "half of the matches shuffled": Spoiling(ratio=None, shuffled=0.5),
    "global mapper": Spoiling(mapper="global"),
}


def rows_of(scene: Path, out: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Every model of a scene with its error and its certificate."""
    truth = read_cameras(scene / "cameras_gt.txt")
    features = out / scene.name / "features.h5"
    features.parent.mkdir(parents=True, exist_ok=True)
    asked = ExtractorOptions.for_models(
        detector=options.detector,
        descriptor=options.descriptor,
        size=options.size,
        max_keypoints=options.max_keypoints,
    )
    bags = [
        sorted(random.Random(seed).sample(sorted(truth), min(options.bag, len(truth))))
        for seed in range(options.seeds)
    ]
    wanted = sorted(set().union(*bags))
    extract_images(scene / "images", wanted, asked.build(), features)
    for seed, bag in enumerate(bags):
        if bag in bags[:seed]:  # of a scene that has no more photos
            continue
        for what, spoiling in SPOILINGS.items():
            names = bag[: spoiling.photos]
            row: Row = {"scene": scene.name, "seed": seed, "what": what, "images": len(names)}
            try:
                with TemporaryDirectory() as folder:
                    made = reconstruct(scene, names, features, Path(folder), spoiling, seed, truth)
            except NoModelError:
                yield row | {"error_deg": None, "trust": None}
                continue
            true = {name: truth[name].cam_from_world for name in made.cam_from_world}
            errors = relative_pose_errors_deg(made.cam_from_world, true)
            error = round(float(np.median(errors)), 3)
            yield row | {"error_deg": error, "trust": made.summary["trust"]}


def reconstruct(
    scene: Path,
    names: list[str],
    features: Path,
    out: Path,
    spoiling: Spoiling,
    seed: int,
    truth: Mapping[str, KnownCamera],
) -> Reconstruction:
    """As `dift-geo reconstruct` does it, spoilt."""
    pairs = list(combinations(names, 2))
    matches = out / "matches.h5"
    match_pairs(features, pairs, matches, MatchOptions(ratio=spoiling.ratio))
    if spoiling.shuffled:
        matches = shuffle(matches, out / "shuffled.h5", spoiling.shuffled, seed)
    intrinsics = None
    if spoiling.focal is not None:
        intrinsics = {
            name: (
                "SIMPLE_PINHOLE",
                [
                    float(spoiling.focal * truth[name].K[0, 0]),
                    truth[name].size_wh[0] / 2,
                    truth[name].size_wh[1] / 2,
                ],
            )
            for name in names
        }
    mapping = SfmOptions(seed=seed, intrinsics=intrinsics, mapper=spoiling.mapper)
    return reconstruct_from_stores(scene / "images", features, matches, pairs, out / "o", mapping)


def shuffle(matches: Path, target: Path, share: float, seed: int) -> Path:
    """A copy in which a share of the matches of every pair leads elsewhere."""
    drawn = np.random.default_rng(seed)
    with MatchStore(matches) as source, MatchStore(target, {"shuffled": share}) as store:
        for pair in source:
            found = source[pair]
            rows = found.pairs.copy()
            moved = drawn.permutation(len(rows))[: round(share * len(rows))]
            rows[np.sort(moved), 1] = rows[moved, 1]
            store.put(pair, Matches(rows, found.scores), int(rows[:, 0].max(initial=0)) + 1)
        store.merge()
    return target


def table(rows: list[Row]) -> str:
    """Models by what was done to them, and how good and bad ones were judged."""
    lines = ["| | models | none | good | of them high | bad | of them high | of them low |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for what in [*SPOILINGS, None]:
        some = [row for row in rows if what in (row["what"], None)]
        made = [row for row in some if row["trust"]]
        good = [row["trust"]["level"] for row in made if row["error_deg"] < GOOD_DEG]
        bad = [row["trust"]["level"] for row in made if row["error_deg"] > BAD_DEG]
        counts = [len(made), len(some) - len(made), len(good), good.count("high")]
        counts += [len(bad), bad.count("high"), bad.count("low")]
        lines.append(f"| {what or 'all'} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path, help="folder of scenes")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", metavar="SCENE", help="default: all")
    parser.add_argument("--detector", default="sift")
    parser.add_argument("--descriptor")
    parser.add_argument("--max-keypoints", type=int)
    parser.add_argument("--size", type=int, default=1600)
    parser.add_argument("--bag", type=int, default=12, help="photos drawn of a scene")
    parser.add_argument("--seeds", type=int, default=3, help="bags of each scene")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    for scene in sorted(path.parent for path in options.scenes.glob("*/cameras_gt.txt")):
        if options.only is None or scene.name in options.only:
            for row in rows_of(scene, options.out, options):
                rows.append(row)
                level = row["trust"]["level"] if row["trust"] else "no model"
                print(f"{row['scene']}, {row['seed']}, {row['what']}: {row['error_deg']}, {level}")
                write_json(options.out / "trust.json", rows)
    write_whole(options.out / "trust.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
