#!/usr/bin/env python3
"""Where were these photos taken? Poses on a map from photos of known pose, and their errors.

    python pipelines/localize.py photos/ out/ --cameras cameras.txt --queries a.jpg b.jpg
    python pipelines/localize.py photos/ out/ --cameras cameras.txt --leave-out 2 \\
        --descriptors rootsift dift

The first places two photos on a map of the others. The second does so for every choice of two, by
each descriptor. CAMERAS holds lines `name width height fx fy cx cy` and the 12 numbers of
cam_from_world, row by row; pixel (0, 0) is the centre of the top-left pixel. Queries need
intrinsics there; their poses serve for the errors alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.localization import (
    Map,
    build_verified_database,
    leave_out_folds,
    localize,
    triangulate_map,
)
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import NoAnswerError
from dift_geo.extractor import DESCRIPTORS, build_extractor
from dift_geo.geometry.pose import pose_error
from dift_geo.recipe import write_json

Cameras = Mapping[str, KnownCamera]
Fold = Sequence[str]  # photos that are placed on a map of the others
ROW = "{:16}{:>10}{:>9}{:>12}{:>14}"
EXTRACTOR = ("backend", "detector", "max_keypoints", "size", "device")


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    options = parser.parse_args(argv)
    cameras = read_cameras(options.cameras)
    folds: list[Fold] = [options.queries]
    if options.leave_out:
        folds = list(leave_out_folds(sorted(cameras), options.leave_out))
    if strangers := set(chain.from_iterable(folds)) - set(cameras):
        parser.error(f"no camera for {', '.join(sorted(strangers))} in {options.cameras}")
    report = {}
    print(ROW.format("descriptor", "placed", "inliers", "position", "rotation deg") + "   medians")
    for descriptor in options.descriptors:
        out = options.out / descriptor
        prepare(out, options, descriptor, cameras)
        placed = [*chain.from_iterable(place(fold, cameras, out) for fold in told(folds))]
        found = report[descriptor] = summarize(placed)
        print(tell(descriptor, found))
    write_json(options.out / "localization.json", report)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument(
        "out", type=Path, help="gets localization.json, and the stores of each descriptor"
    )
    parser.add_argument("--cameras", type=Path, required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--queries", nargs="+", metavar="NAME")
    which.add_argument(
        "--leave-out", type=int, metavar="N", help="place every N photos on a map of the others"
    )
    parser.add_argument("--descriptors", nargs="+", choices=DESCRIPTORS, default=["dift"])
    parser.add_argument("--backend", default="tiny")
    parser.add_argument("--detector", default="sift")
    parser.add_argument("--max-keypoints", type=int, default=4096)
    parser.add_argument("--size", type=int, default=1600)
    parser.add_argument("--device", default="cpu")
    return parser


def told(folds: Sequence[Fold]) -> Iterator[Fold]:
    """The folds under a progress bar."""
    return iter(tqdm(folds, "localize", leave=False))


def prepare(out: Path, options: argparse.Namespace, descriptor: str, cameras: Cameras) -> None:
    """Features, matches and verified pairs of all photos below `out`."""
    words = {name: getattr(options, name) for name in EXTRACTOR}
    extractor = build_extractor(descriptor=descriptor, **words)
    names = sorted(cameras)
    features, matches = out / "features.h5", out / "matches.h5"
    extract_images(options.images, names, extractor, features, strict=True)
    match_pairs(features, list(combinations(names, 2)), matches, device=options.device)
    build_verified_database(out / "database.db", cameras, features, matches)


def place(fold: Fold, cameras: Cameras, out: Path) -> Iterator[dict[str, Any]]:
    """Every query of a fold on the map of the rest: records for JSON."""
    known = {name: camera for name, camera in cameras.items() if name not in fold}
    try:
        scene = triangulate_map(out / "database.db", known)
    except NoAnswerError as error:  # no map: nobody is placed, and the report says so
        tqdm.write(f"without {', '.join(fold)}: {error}")
        scene = Map(np.zeros((0, 3)), {})
    for name in fold:
        stores = out / "features.h5", out / "matches.h5"
        found = localize(scene, name, cameras[name], *stores)
        record: dict[str, Any] = {
            "query": name,
            "left_out": fold,
            "map_points": len(scene.points),
            "cam_from_world": None,
        }
        if found is not None:
            position, rotation_deg = pose_error(found.cam_from_world, cameras[name].cam_from_world)
            record |= {
                "cam_from_world": found.cam_from_world.tolist(),
                "inliers": found.inliers,
                "correspondences": found.correspondences,
                "position": position,
                "rotation_deg": rotation_deg,
            }
        yield record


def summarize(placed: list[dict[str, Any]]) -> dict[str, Any]:
    """What localization.json says of one descriptor."""
    found = [record for record in placed if record["cam_from_world"] is not None]
    return {
        "placed": len(found),
        "of": len(placed),
        "median": {key: median(found, key) for key in ("inliers", "position", "rotation_deg")},
        "queries": placed,
    }


def median(records: list[dict[str, Any]], key: str) -> float | None:
    return float(np.median([record[key] for record in records])) if records else None


def tell(descriptor: str, found: dict[str, Any]) -> str:
    """A row of the table; dashes where no photo was placed."""
    formats = {"inliers": ".0f", "position": ".4f", "rotation_deg": ".4f"}
    cells = [
        "-" if value is None else format(value, formats[key])
        for key, value in found["median"].items()
    ]
    return ROW.format(descriptor, f"{found['placed']}/{found['of']}", *cells)


if __name__ == "__main__":
    main()
