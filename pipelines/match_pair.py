#!/usr/bin/env python3
"""Match two photos and draw what fits a homography.

python pipelines/match_pair.py a.jpg b.jpg matches.png --descriptor dift
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dift_geo
from dift_geo.extractor import DESCRIPTORS, build_extractor
from dift_geo.images import write_image
from dift_geo.pair import match_pair
from dift_geo.report.drawing import draw_matches


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image0", type=Path)
    parser.add_argument("image1", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--descriptor", choices=DESCRIPTORS, default="dift")
    parser.add_argument("--max-keypoints", type=int, default=2048)
    parser.add_argument("--size", type=int, default=1024)
    options = parser.parse_args(argv)

    extractor = build_extractor(
        descriptor=options.descriptor, max_keypoints=options.max_keypoints, size=options.size
    )
    image0, image1 = dift_geo.read_image(options.image0), dift_geo.read_image(options.image1)
    names = {"name0": str(options.image0), "name1": str(options.image1)}
    found = match_pair(image0, image1, extractor, **names)
    fitting, inliers = "no homography", None
    if found.homography is not None:
        fitting, inliers = f"{found.inliers.sum()} fit one homography", found.inliers
    write_image(options.picture, draw_matches(image0, image1, found.xy0, found.xy1, inliers))
    print(f"{len(found)} matches, {fitting} -> {options.picture}")


if __name__ == "__main__":
    main()
