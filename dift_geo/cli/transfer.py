"""`dift-geo transfer`: points of one photo in another, by maps of features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import check_apart, check_folder_to_write
from dift_geo.errors import InputError
from dift_geo.options import add_flags, take_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_transfer"]

RECORD, PICTURE = "transfer.json", "transfer.png"


def add_transfer(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.mapper import MapOptions

    parser = command(
        commands,
        "transfer",
        _transfer,
        "points of one photo -> the same points of the object in another",
        "dift-geo transfer cat.jpg dog.jpg --points 120,80 200,95 --out ears/",
    )
    parser.add_argument("image0", type=Path)
    parser.add_argument("image1", type=Path)
    parser.add_argument(
        "--points", nargs="+", required=True, metavar="X,Y", help="pixels of the first photo"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("transfer"), help="gets transfer.json and transfer.png"
    )
    add_json_flag(parser)
    parser.add_argument(
        "--prompt", default="", help="what models that take text are told, `a photo of a cat`"
    )
    parser.add_argument(
        "--soft-argmax", action="store_true", help="the weighted mean around the best pixel"
    )
    add_flags(parser.add_argument_group("features"), MapOptions)


def _transfer(
    image0: Path,
    image1: Path,
    points: list[str],
    out: Path,
    prompt: str,
    soft_argmax: bool,
    json: bool,
    **flags: object,
) -> None:
    import torch

    from dift_geo.images import read_image, write_image
    from dift_geo.mapper import MapOptions
    from dift_geo.matching.transfer import SoftArgmax, best_pixels
    from dift_geo.recipe import write_json
    from dift_geo.report.drawing import draw_matches

    options = take_flags(MapOptions, flags)
    check_folder_to_write(out)
    check_apart(image0=image0, picture=out / PICTURE)
    check_apart(image1=image1, picture=out / PICTURE)
    picture0, picture1 = read_image(image0), read_image(image1)
    xy0 = torch.tensor(_pixels(points, (picture0.shape[1], picture0.shape[0])))
    mapper = options.build("semantic")
    if mapper.still:
        raise InputError("backend 'still' looks at nothing and finds no points; use another")
    with torch.inference_mode():
        map0 = mapper.map(picture0, str(image0), prompt)
        map1 = mapper.map(picture1, str(image1), prompt)
        soft = SoftArgmax() if soft_argmax else None
        xy1 = best_pixels(map0.sample(xy0), map1.values, map1.size_wh, soft)
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "image0": str(image0),
        "image1": str(image1),
        "xy0": xy0.tolist(),
        "xy1": xy1.tolist(),
        "prompt": prompt,
        "recipe": mapper.recipe(),
    }
    write_json(out / RECORD, record)
    write_image(out / PICTURE, draw_matches(picture0, picture1, xy0.numpy(), xy1.numpy()))
    close({**record, "out": out}, json, {"points": len(xy1), "out": out})


def _pixels(words: Sequence[str], size_wh: tuple[int, int]) -> list[list[float]]:
    found = []
    for word in words:
        try:
            x, y = (float(part) for part in word.split(","))
        except ValueError:
            raise InputError(f"point is {word!r}, expected X,Y in pixels") from None
        if not (0 <= x <= size_wh[0] - 1 and 0 <= y <= size_wh[1] - 1):
            raise InputError(
                f"point {word} is outside the first photo of {size_wh[0]} x {size_wh[1]} pixels"
            )
        found.append([x, y])
    return found
