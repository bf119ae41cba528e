#!/usr/bin/env python3
"""Does the model depend on the seed? One set of photos, many seeds, beside COLMAP's own SIFT.

    python pipelines/seeds.py SCENE OUT --bag 12 --draw 1 --seeds 10

SCENE holds images/ and cameras_gt.txt. Features and matches are made once, as `dift-geo
reconstruct` makes them; what follows is repeated with every seed: verification, the mapper's runs
and the choice between them. COLMAP maps its own features once with each seed, and all else as
COLMAP has it. Prints the area under the curve of relative pose errors up to 5 degrees, in per cent,
and writes OUT/seeds.json.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
import pycolmap

from dift_geo.backends.config import Effort
from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.filling import Stores
from dift_geo.colmap.intrinsics import AUTO
from dift_geo.colmap.mapping import cam_from_world
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import NoModelError
from dift_geo.extractor import ExtractorOptions
from dift_geo.geometry.curves import auc
from dift_geo.geometry.pose import relative_pose_errors_deg
from dift_geo.matching.options import RATIO_FOR_MODELS, MatchOptions
from dift_geo.recipe import write_json
from dift_geo.sfm import SfmOptions, reconstruct_from_stores

LIMIT_DEG = 5.0


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_stores(parser)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--camera-model", default=AUTO, help="of COLMAP; auto is finer in the end")
    parser.add_argument("--without-colmap", action="store_true", help="leave its own SIFT out")
    options = parser.parse_args(argv)

    truth = drawn(options.scene, options.bag, options.draw)
    found = {"ours": ours(options, truth)}
    if not options.without_colmap:
        found["COLMAP's SIFT"] = colmaps(options, truth)
    for what, values in found.items():
        print(f"{what}: lowest {min(values)}, median {np.median(values):.1f}, of {values}")
    write_json(options.out / "seeds.json", {"photos": [*truth], "auc@5": found})


def add_stores(parser: argparse.ArgumentParser) -> None:
    """What `drawn` and `stores_of` go by."""
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bag", type=int, default=12, help="photos drawn of the scene")
    parser.add_argument("--draw", type=int, default=0, help="seed of the draw")
    parser.add_argument("--detector", default="sift")
    parser.add_argument("--descriptor")
    parser.add_argument("--max-keypoints", type=int)
    parser.add_argument("--effort", choices=get_args(Effort))
    parser.add_argument("--ratio", type=float, default=RATIO_FOR_MODELS)


def drawn(scene: Path, bag: int, seed: int) -> dict[str, KnownCamera]:
    """Known cameras of some photos of a scene, by name."""
    truth = read_cameras(scene / "cameras_gt.txt")
    names = sorted(truth)
    if bag < len(names):
        names = sorted(random.Random(seed).sample(names, bag))
    return {name: truth[name] for name in names}


def stores_of(options: argparse.Namespace, truth: dict[str, KnownCamera]) -> Stores:
    """Features and matches of every pair, made as `dift-geo reconstruct` does, once."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    made = Stores(out / "features.h5", out / "matches.h5", list(combinations(sorted(truth), 2)))
    asked = ExtractorOptions.for_models(
        detector=options.detector,
        descriptor=options.descriptor,
        max_keypoints=options.max_keypoints,
        effort=options.effort,
    )
    extract_images(options.scene / "images", sorted(truth), asked.build(), made.features)
    match_pairs(made.features, made.pairs, made.matches, MatchOptions(ratio=options.ratio))
    return made


def ours(options: argparse.Namespace, truth: dict[str, KnownCamera]) -> list[float]:
    """One area a seed, by the road of `reconstruct`."""
    made = stores_of(options, truth)
    values = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            mapping = SfmOptions(seed=seed, camera_model=options.camera_model)
            paths = options.scene / "images", made.features, made.matches
            try:
                poses = reconstruct_from_stores(*paths, made.pairs, folder, mapping).cam_from_world
            except NoModelError:
                poses = {}
        values.append(area(poses, truth))
    return values


def colmaps(options: argparse.Namespace, truth: dict[str, KnownCamera]) -> list[float]:
    """One area a seed, by COLMAP alone."""
    database = options.out / "colmap.db"
    if not database.exists():
        part = database.with_suffix(".part")
        part.unlink(missing_ok=True)
        images = options.scene / "images"
        pycolmap.extract_features(str(part), str(images), image_names=sorted(truth))
        pycolmap.match_exhaustive(str(part))
        part.rename(database)
    values = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            mapper = pycolmap.IncrementalPipelineOptions(random_seed=seed, num_threads=1)
            models = pycolmap.incremental_mapping(str(database), folder, folder, mapper)
        best = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
        values.append(area({} if best is None else cam_from_world(best), truth))
    return values


def area(poses: dict, truth: dict[str, KnownCamera]) -> float:
    """Per cent, to a decimal."""
    true = {name: camera.cam_from_world for name, camera in truth.items()}
    return round(100 * auc(relative_pose_errors_deg(poses, true), LIMIT_DEG)[0], 1)


if __name__ == "__main__":
    main()
