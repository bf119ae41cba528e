#!/usr/bin/env python3
"""Photos -> COLMAP model by several descriptors, one table: is diffusion worth it on your photos?

python pipelines/sfm.py photos/ out/ --descriptors rootsift dift dift+rootsift --camera-mode single
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from dift_geo.colmap.cameras import CameraMode
from dift_geo.errors import NoModelError
from dift_geo.extractor import DESCRIPTORS, build_extractor
from dift_geo.sfm import SfmOptions, reconstruct

STAGES = ("extract", "match", "verify", "map")
HEADER = (
    f"{'descriptor':16}{'registered':>12}{'points':>8}{'error px':>10}{'inliers':>9}  "
    f"seconds: {' '.join(STAGES)}"
)


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
    parser.add_argument("--camera-mode", choices=get_args(CameraMode), default="auto")
    parser.add_argument("--max-keypoints", type=int, default=4096)
    parser.add_argument("--size", type=int, default=1600)
    options = parser.parse_args(argv)

    print(HEADER)
    mapping = SfmOptions(camera_mode=options.camera_mode)
    for descriptor in options.descriptors:
        extractor = build_extractor(
            descriptor=descriptor, max_keypoints=options.max_keypoints, size=options.size
        )
        try:
            result = reconstruct(options.images, options.out / descriptor, extractor, mapping)
            print(f"{descriptor:16}{row(result.summary)}")
        except NoModelError as error:
            print(f"{descriptor:16}no model: {error}")


def row(summary: dict[str, Any]) -> str:
    """The columns after the descriptor."""
    registered = f"{summary['registered']}/{summary['images']}"
    seconds = " ".join(f"{summary['seconds'][stage]:.1f}" for stage in STAGES)
    return (
        f"{registered:>12}{summary['points']:>8}{summary['reprojection_px']:>10.3f}"
        f"{summary['inliers_mean']:>9.1f}  {seconds}"
    )


if __name__ == "__main__":
    main()
