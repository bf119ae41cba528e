"""`dift-geo calibrate`: fit a projection on a user's own photos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import add_extractor_flags, command, take_device, take_extractor_options
from dift_geo.cli.places import check_file_to_write
from dift_geo.errors import InputError
from dift_geo.options import number

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
    add_json_flag(parser)
    parser.add_argument(
        "--dim",
        type=number(int, least=1),
        metavar="N",
        help="of the projected descriptor; default: 128, 256 for dift+rootsift",
    )
    parser.add_argument(
        "--views",
        type=number(int, least=0),
        default=0,
        metavar="N",
        help="synthetic views per photo; 0 chooses by their number",
    )
    add_extractor_flags(parser, size=640, max_keypoints=1000, straighten="off")


def _calibrate(
    images: Path, out: Path, dim: int | None, views: int, json: bool, **flags: object
) -> None:
    from dift_geo.dift.calibration import calibrate
    from dift_geo.dift.projection import Projection

    options = take_extractor_options(flags)
    if options.straightening is not None:
        raise InputError(
            f"straighten is {options.straighten!r}, but a projection is fitted on views of single "
            "photos; leave it out, or give --upright for keypoints without angles"
        )
    take_device({"device": options.device})
    check_file_to_write(out)
    if out.is_file() and out.suffix != ".safetensors":
        Projection.load(out)  # what is no projection is not replaced by one
    result = calibrate(images, options.build_raw(), dim=dim, views=views, seed=options.seed)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    result.projection.save(out)
    if result.mma_after <= result.mma_before:
        print(
            "dift-geo: the projection does not help on held-back photos; fit it on more of them",
            file=sys.stderr,
        )
    facts = {
        "pairs": result.pairs,
        "held_back": result.held_back,
        "mma_before": result.mma_before,
        "mma_after": result.mma_after,
        "projection": out,
    }
    before, after = (f"{100 * own:.1f} %" for own in (result.mma_before, result.mma_after))
    rows = {
        "fitted on": f"{result.pairs} pairs",
        "MMA@3px": f"{before} raw, {after} projected, on {result.held_back} held-back views",
        "projection": out,
    }
    close(facts, json, rows)
