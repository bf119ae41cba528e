"""`dift-geo calibrate`: fit a projection on a user's own photos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import add_extractor_flags, command, take_extractor_options

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_calibrate"]


def add_calibrate(commands: Commands) -> None:
    """Register the command."""
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
    add_extractor_flags(parser, size=640, max_keypoints=1000)


def _calibrate(images: Path, out: Path, dim: int | None, views: int, **flags: object) -> None:
    from dift_geo.dift.calibration import calibrate

    options = take_extractor_options(flags)
    result = calibrate(images, options.build_raw(), dim=dim, views=views, seed=options.seed)
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
