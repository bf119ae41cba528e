#!/usr/bin/env python3
"""Where were these photos taken? Poses against a map from photos of known pose, with errors against
the truth.

python pipelines/localize.py photos/ out/ --cameras cameras.txt --queries a.jpg b.jpg python
pipelines/localize.py photos/ out/ --cameras cameras.txt --leave-out 2 --descriptors rootsift dift

The first places two photos on a map of the others. The second does so for every choice of two, by
each descriptor. CAMERAS holds lines `name width height fx fy cx cy` and the 12 numbers of
cam_from_world, row by row; pixel (0, 0) is the centre of the top-left pixel. Queries need
intrinsics there; their poses serve for the errors alone.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dift_geo.colmap.cameras import read_cameras
from dift_geo.colmap.localization import (
    Map,
    build_verified_database,
    leave_out_folds,
    localize,
    triangulate_map,
)
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.extractor import DESCRIPTORS, build_extractor
from dift_geo.geometry.pose import pose_error


def main(argv: list[str] | None = None) -> None:
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
    options = parser.parse_args(argv)

    cameras = read_cameras(options.cameras)
    folds = (
        leave_out_folds(sorted(cameras), options.leave_out)
        if options.leave_out
        else [tuple(options.queries)]
    )
    if strangers := {name for fold in folds for name in fold} - set(cameras):
        parser.error(f"no camera for {', '.join(sorted(strangers))} in {options.cameras}")
    report = {}
    print(
        f"{'descriptor':16}{'placed':>10}{'inliers':>9}{'position':>12}{'rotation deg':>14}   medians"
    )
    for descriptor in options.descriptors:
        stores = [options.out / descriptor / name for name in ("features.h5", "matches.h5")]
        flags = {
            name: getattr(options, name)
            for name in ("backend", "detector", "max_keypoints", "size", "device")
        }
        extract_images(
            options.images,
            sorted(cameras),
            build_extractor(descriptor=descriptor, **flags),
            stores[0],
            strict=True,
        )
        match_pairs(
            stores[0], list(combinations(sorted(cameras), 2)), stores[1], device=options.device
        )
        database = options.out / descriptor / "database.db"
        build_verified_database(database, cameras, *stores)
        placed = [
            record
            for fold in tqdm(folds, "localize", leave=False)
            for record in _place(fold, cameras, database, stores)
        ]
        found = [record for record in placed if record["cam_from_world"] is not None]
        summary = {key: _median(found, key) for key in ("inliers", "position", "rotation_deg")}
        report[descriptor] = {
            "placed": len(found),
            "of": len(placed),
            "median": summary,
            "queries": placed,
        }
        share, numbers = f"{len(found)}/{len(placed)}", summary.values()
        print("{:16}{:>10}{:>9.0f}{:>12.4f}{:>14.4f}".format(descriptor, share, *numbers))
    (options.out / "localization.json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )


def _place(fold, cameras, database, stores):  # type: ignore[no-untyped-def]
    """Every query of a fold on the map of the rest: records for JSON."""
    try:
        scene = triangulate_map(
            database, {name: camera for name, camera in cameras.items() if name not in fold}
        )
    except RuntimeError as error:  # no map: nobody is placed, and the report says so
        tqdm.write(f"without {', '.join(fold)}: {error}")
        scene = Map(np.zeros((0, 3)), {})
    for name in fold:
        found = localize(scene, name, cameras[name], *stores)
        record = {
            "query": name,
            "left_out": fold,
            "map_points": len(scene.points),
            "cam_from_world": None,
        }
        if found is not None:
            position, rotation_deg = pose_error(found.cam_from_world, cameras[name].cam_from_world)
            record |= {"cam_from_world": found.cam_from_world.tolist(), "inliers": found.inliers}
            record |= {
                "correspondences": found.correspondences,
                "position": position,
                "rotation_deg": rotation_deg,
            }
        yield record


def _median(records, key):  # type: ignore[no-untyped-def]
    return float(np.median([record[key] for record in records])) if records else float("nan")


if __name__ == "__main__":
    main()
