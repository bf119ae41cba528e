#!/usr/bin/env python3
"""How far may a match lie from the geometry of its pair? One set of photos, several limits.

    python pipelines/verification.py SCENE OUT --bag 12 --draw 1 --max-errors 1 1.5 2 3 4

SCENE holds images/ and cameras_gt.txt. Features and matches are made once, as `dift-geo
reconstruct` makes them, and verified within each limit. Of what is verified it prints purity, the
mean share within 3 px of the true epipolar lines; the number of matches; and the area under the
curve of relative pose errors up to 5 degrees by PoseLib, with known intrinsics, where pairs that
are not verified count as failures. Writes OUT/verification.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from seeds import add_stores, drawn, stores_of

from dift_geo.colmap.cameras import KnownCamera
from dift_geo.colmap.filling import Stores, fill_database
from dift_geo.colmap.verification import Verification
from dift_geo.detectors.colmap_database import read_database
from dift_geo.frames import from_colmap
from dift_geo.geometry.curves import auc
from dift_geo.geometry.essential import estimate_relative_pose, symmetric_epipolar_error_px
from dift_geo.geometry.pose import relative_pose, relative_pose_error_deg
from dift_geo.recipe import write_json

LIMIT_DEG, NEAR_PX = 5.0, 3.0
FAILED_DEG = 180.0


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_stores(parser)
    parser.add_argument("--max-errors", nargs="+", type=float, default=[1, 1.5, 2, 3, 4])
    options = parser.parse_args(argv)
    truth = drawn(options.scene, options.bag, options.draw)
    made = stores_of(options, truth)
    rows = [verified(options.scene / "images", made, truth, px) for px in options.max_errors]
    for row in rows:
        print(
            f"{row['max_error_px']:g} px: {row['pairs']} pairs, purity {row['purity']:.3f}, "
            f"{row['matches']} matches, AUC@5 {row['auc@5']:.1f}"
        )
    write_json(options.out / "verification.json", rows)


def verified(
    images: Path, made: Stores, truth: dict[str, KnownCamera], limit_px: float
) -> dict[str, float]:
    """What is verified within a limit."""
    pure, errors, count = [], [], 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "d.db"
        fill_database(path, images, made, verification=Verification(max_error_px=limit_px))
        with read_database(path) as database:
            ids = database.image_ids()
            for name0, name1 in made.pairs:
                rows = database.inliers(ids[name0], ids[name1]).astype(int)
                if not len(rows):
                    errors.append(FAILED_DEG)
                    continue
                xy = [database.keypoints(ids[name]) for name in (name0, name1)]
                xy0, xy1 = (from_colmap(each[rows[:, i], :2]) for i, each in enumerate(xy))
                share, error = judged(xy0, xy1, truth[name0], truth[name1])
                pure.append(share)
                errors.append(error)
                count += len(rows)
    return {
        "max_error_px": limit_px,
        "pairs": len(pure),
        "purity": float(np.mean(pure)) if pure else 0.0,
        "matches": count,
        "auc@5": 100 * auc(np.array(errors), LIMIT_DEG)[0],
    }


def judged(
    xy0: NDArray, xy1: NDArray, camera0: KnownCamera, camera1: KnownCamera
) -> tuple[float, float]:
    """The share of matches near the true lines, and the error of the pose that they give."""
    true = relative_pose(camera0.cam_from_world, camera1.cam_from_world)
    near = symmetric_epipolar_error_px(xy0, xy1, true, camera0.K, camera1.K) < NEAR_PX
    found = estimate_relative_pose(xy0, xy1, camera0.K, camera1.K)
    if found is None:
        return float(near.mean()), FAILED_DEG
    return float(near.mean()), max(relative_pose_error_deg(found.cam1_from_cam0, true))


if __name__ == "__main__":
    main()
