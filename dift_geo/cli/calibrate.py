"""`dift-geo calibrate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dift_geo.cli.flags import add_extractor_flags, command, take_extractor
from dift_geo.errors import InputError

__all__ = ["add_calibrate"]


# calibrate


def add_calibrate(commands: Any) -> None:
    parser = command(
        commands,
        "calibrate",
        _calibrate,
        "photos -> projection for any backend",
        "dift-geo calibrate photos/ own.safetensors",
    )
    parser.add_argument(
        "images", type=Path, help="folder of photos like those to be matched; a few dozen will do"
    )
    parser.add_argument("out", type=Path, help="projection for --projection")
    add_extractor_flags(parser, size=640, max_keypoints=1000)
    parser.add_argument(
        "--dim", type=int, help="of the projected descriptor; default: 128, 256 for dift+rootsift"
    )
    parser.add_argument(
        "--views",
        type=int,
        default=0,
        metavar="N",
        help="synthetic views per photo; 0 chooses by their number",
    )


def _calibrate(images: Path, out: Path, dim: int | None, views: int, **options: Any) -> None:
    from dift_geo.dift.calibration import calibrate
    from dift_geo.dift.describer import Dift

    seed = options["seed"]
    dift, *others = take_extractor(options).describers
    if not isinstance(dift, Dift):
        raise InputError(
            "calibrate fits a projection for DIFT; expected --descriptor dift or dift+rootsift"
        )
    if others:
        dift = dift.beside_of(others[0], None)
    result = calibrate(images, dift, dim=dim, views=views, seed=seed)
    result.projection.save(out)
    if result.mma_after <= result.mma_before:
        print(
            "dift-geo: the projection does not help on held-back photos; fit it on more of them",
            file=sys.stderr,
        )
    print(
        f"fitted on {result.pairs} pairs; on {result.held_back} held-back views MMA@3px "
        f"{100 * result.mma_before:.1f} % raw -> {100 * result.mma_after:.1f} % projected -> {out}"
    )
