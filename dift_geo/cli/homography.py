"""`dift-geo homography`: two photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from dift_geo.cli.flags import add_extractor_flags, add_match_flags, command, take_extractor
from dift_geo.errors import NoAnswerError

__all__ = ["add_homography"]


# homography


def add_homography(commands: Any) -> None:
    from dift_geo.geometry.robust import Estimator

    parser = command(
        commands,
        "homography",
        _homography,
        "two photos -> matches and homography",
        "dift-geo homography a.jpg b.jpg --out ab/",
    )
    parser.add_argument("image0", type=Path)
    parser.add_argument("image1", type=Path)
    parser.add_argument(
        "--out", type=Path, default=Path("homography"), help="gets homography.json and matches.png"
    )
    add_extractor_flags(parser, size=1024, max_keypoints=2048)
    add_match_flags(parser)
    parser.add_argument("--estimator", choices=get_args(Estimator), default="kornia")
    parser.add_argument(
        "--max-error",
        type=float,
        default=3.0,
        metavar="PX",
        help="inlier threshold in pixels of image 1",
    )


def _homography(
    image0: Path, image1: Path, out: Path, ratio: float | None, min_similarity: float | None, estimator: Any, max_error: float,
    **options: Any,
) -> None:  # fmt: skip
    from dift_geo.geometry.homography import estimate_homography
    from dift_geo.images import read_image, write_image
    from dift_geo.matching.mutual_nn import match_mutual_nn
    from dift_geo.report.drawing import draw_matches

    extractor = take_extractor(options)
    seed, device = options["seed"], options["device"]
    picture0, picture1 = read_image(image0), read_image(image1)
    f0, f1 = extractor.extract(picture0, str(image0)), extractor.extract(picture1, str(image1))
    matches = match_mutual_nn(
        f0.descriptors, f1.descriptors, ratio=ratio, min_similarity=min_similarity, device=device
    )
    xy0, xy1 = f0.keypoints.xy[matches.pairs[:, 0]], f1.keypoints.xy[matches.pairs[:, 1]]
    found = estimate_homography(xy0, xy1, estimator=estimator, max_error_px=max_error, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "image0": str(image0),
        "image1": str(image1),
        "keypoints": [len(f0), len(f1)],
        "matches": len(matches),
        "inliers": 0 if found is None else int(found.inliers.sum()),
        "H_1_from_0": None if found is None else found.H_1_from_0.tolist(),
        "estimator": estimator,
        "max_error_px": max_error,
        "recipe": extractor.recipe(),
    }
    (out / "homography.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_image(
        out / "matches.png",
        draw_matches(picture0, picture1, xy0, xy1, None if found is None else found.inliers),
    )
    if found is None:
        raise NoAnswerError(
            f"no homography fits the {len(matches)} matches; the picture in {out} shows them"
        )
    print(f"{record['inliers']} inliers of {len(matches)} matches -> {out}")
