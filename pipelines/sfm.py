#!/usr/bin/env python3
"""Photos -> COLMAP model by several descriptors, one table: is diffusion worth it on your photos?

python pipelines/sfm.py photos/ out/ --descriptors rootsift dift dift+rootsift --camera-mode single
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dift_geo.colmap.mapping import NoModelError
from dift_geo.extractor import DESCRIPTORS, build_extractor
from dift_geo.sfm import reconstruct


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--descriptors",
        nargs="+",
        choices=DESCRIPTORS,
        default=["rootsift", "dift", "dift+rootsift"],
    )
    parser.add_argument(
        "--camera-mode", choices=("auto", "single", "per-folder", "per-image"), default="auto"
    )
    parser.add_argument("--max-keypoints", type=int, default=4096)
    parser.add_argument("--size", type=int, default=1600)
    options = parser.parse_args(argv)

    print(
        f"{'descriptor':16}{'registered':>12}{'points':>8}{'error px':>10}{'inliers':>9}  seconds: extract match verify map"
    )
    for descriptor in options.descriptors:
        extractor = build_extractor(
            descriptor=descriptor, max_keypoints=options.max_keypoints, size=options.size
        )
        try:
            s = reconstruct(
                options.images, options.out / descriptor, extractor, camera_mode=options.camera_mode
            ).summary
        except NoModelError as error:
            print(f"{descriptor:16}no model: {error}")
            continue
        seconds = " ".join(
            f"{s['seconds'][stage]:.1f}" for stage in ("extract", "match", "verify", "map")
        )
        registered = f"{s['registered']}/{s['images']}"
        print(
            f"{descriptor:16}{registered:>12}{s['points']:>8}{s['reprojection_px']:>10.3f}{s['inliers_mean']:>9.1f}  {seconds}"
        )


if __name__ == "__main__":
    main()
