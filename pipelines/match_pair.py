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
    f0, f1 = (
        extractor.extract(image0, str(options.image0)),
        extractor.extract(image1, str(options.image1)),
    )
    matches = dift_geo.match_mutual_nn(f0.descriptors, f1.descriptors)
    xy0, xy1 = f0.keypoints.xy[matches.pairs[:, 0]], f1.keypoints.xy[matches.pairs[:, 1]]
    homography = dift_geo.estimate_homography(xy0, xy1)
    inliers = None if homography is None else homography.inliers
    write_image(options.picture, draw_matches(image0, image1, xy0, xy1, inliers))
    fitting = "no homography" if inliers is None else f"{inliers.sum()} fit one homography"
    print(f"{len(matches)} matches, {fitting} -> {options.picture}")


if __name__ == "__main__":
    main()
