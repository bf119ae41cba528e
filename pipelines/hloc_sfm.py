#!/usr/bin/env python3
"""Structure from motion by hloc, with our features in it: the script you have, plus the three lines
marked.

    python pipelines/hloc_sfm.py photos/ out/ --features dift-tiny-sift --matcher dift-mnn
    python pipelines/hloc_sfm.py photos/ out/ --features sift --matcher NN-ratio

Needs hloc, installed or in a folder that PYTHONPATH names. The model goes to OUT/sfm.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--features",
        default="dift-tiny-sift",
        metavar="CONF",
        help="2. the name of our features ...",
    )
    parser.add_argument(
        "--matcher", default="dift-mnn-ratio.9", metavar="CONF", help="3. ... and of our matcher"
    )
    parser.add_argument(
        "--camera-mode", default="AUTO", choices=("AUTO", "SINGLE", "PER_FOLDER", "PER_IMAGE")
    )
    options = parser.parse_args(argv)

    from dift_geo.colmap.mapping import MAX_REPROJECTION_PX
    from dift_geo.hloc_plugin import register

    register()  # 1. the only line that is not a name

    from hloc import extract_features, match_features, pairs_from_exhaustive

    feature_conf = extract_features.confs[options.features]
    matcher_conf = match_features.confs[options.matcher]
    features = extract_features.main(feature_conf, options.images, options.out)
    pairs = options.out / "pairs.txt"
    pairs_from_exhaustive.main(pairs, features=features)
    matches = match_features.main(matcher_conf, pairs, feature_conf["output"], options.out)

    import pycolmap
    from hloc import reconstruction

    mode = getattr(pycolmap.CameraMode, options.camera_mode)
    # as `dift-geo reconstruct`
    mapper = {"mapper": {"filter_max_reproj_error": MAX_REPROJECTION_PX}}
    model = reconstruction.main(
        options.out / "sfm", options.images, pairs, features, matches, mode, mapper_options=mapper
    )
    if model is None:
        raise SystemExit("hloc found no model")
    found = f"{model.num_reg_images()} images registered, {model.num_points3D()} points"
    print(f"{found} -> {options.out / 'sfm'}")


if __name__ == "__main__":
    main()
