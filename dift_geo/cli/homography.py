"""`dift-geo homography`: two photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import (
    add_extractor_flags,
    add_match_flags,
    command,
    take_device,
    take_extractor_options,
    take_match_options,
)
from dift_geo.cli.places import check_apart, check_folder_to_write
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.options import number

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands
    from dift_geo.geometry.robust import Estimator
    from dift_geo.pair import PairMatches

__all__ = ["add_homography"]

RECORD, PICTURE = "homography.json", "matches.png"


def add_homography(commands: Commands) -> None:
    """Register the command."""
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
    add_json_flag(parser)
    add_extractor_flags(parser, size=1024, max_keypoints=2048)
    add_match_flags(parser)
    group = parser.add_argument_group("estimation")
    group.add_argument("--estimator", choices=get_args(Estimator), default="kornia")
    group.add_argument(
        "--max-error",
        type=number(float, above=0, most=1e6),
        default=3.0,
        metavar="PX",
        help="inlier threshold in pixels of image 1",
    )


def _homography(
    image0: Path,
    image1: Path,
    out: Path,
    estimator: Estimator,
    max_error: float,
    json: bool,
    **flags: object,
) -> None:
    from dift_geo.images import read_image, write_image
    from dift_geo.pair import match_pair
    from dift_geo.recipe import write_json
    from dift_geo.report.drawing import draw_matches

    match, options = take_match_options(flags), take_extractor_options(flags)
    device = take_device({"device": options.device})
    _check_out(out, image0, image1)
    picture0, picture1 = read_image(image0), read_image(image1)
    extractor = options.build()
    found = match_pair(
        picture0,
        picture1,
        extractor,
        match=match,
        estimator=estimator,
        max_error_px=max_error,
        seed=options.seed,
        name0=str(image0),
        name1=str(image1),
        device=device,
    )
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "image0": str(image0),
        "image1": str(image1),
        **_numbers(found),
        "estimator": estimator,
        "max_error_px": max_error,
        "recipe": extractor.recipe(),
    }
    write_json(out / RECORD, record)
    inliers = None if found.homography is None else found.inliers
    write_image(out / PICTURE, draw_matches(picture0, picture1, found.xy0, found.xy1, inliers))
    if found.homography is None:
        raise NoAnswerError(
            f"no homography fits the {len(found)} matches; the picture in {out} shows them"
        )
    rows = {"matches": len(found), "inliers": record["inliers"], "out": out}
    close({**record, "out": out}, json, rows)


def _check_out(out: Path, image0: Path, image1: Path) -> None:
    """Raise InputError where the results would take the place of what is not ours."""
    check_folder_to_write(out)
    picture = out / PICTURE
    check_apart(image0=image0, picture=picture)
    check_apart(image1=image1, picture=picture)
    if picture.exists() and not (out / RECORD).exists():
        raise InputError(
            f"{picture} is there without {RECORD}, so it is of no earlier run; "
            "choose another folder as --out"
        )


def _numbers(found: PairMatches) -> dict[str, object]:
    homography = found.homography
    return {
        "keypoints": [len(found.features0), len(found.features1)],
        "matches": len(found),
        "inliers": int(found.inliers.sum()),
        "H_1_from_0": None if homography is None else homography.H_1_from_0.tolist(),
    }
