"""`dift-geo transfer`: points or an edit of one photo in another, by maps of features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import NOT_TRUSTED, command
from dift_geo.cli.places import check_apart, check_folder_to_write
from dift_geo.errors import InputError, MissingFileError
from dift_geo.options import add_flags, take_flags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dift_geo.cli.flags import Commands
    from dift_geo.dift.featuremap import FeatureMap

__all__ = ["add_transfer"]

RECORD, PICTURE = "transfer.json", "transfer.png"
EDITED = ("edited0.png", "edited1.png")


def add_transfer(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.mapper import MapOptions

    parser = command(
        commands,
        "transfer",
        _transfer,
        "points or an edit of one photo -> the same places of the object in another",
        "dift-geo transfer cat.jpg dog.jpg --points 120,80 200,95 --out ears/",
    )
    parser.add_argument("image0", type=Path)
    parser.add_argument("image1", type=Path)
    parser.add_argument(
        "--points", nargs="+", default=[], metavar="X,Y", help="pixels of the first photo"
    )
    parser.add_argument(
        "--edit",
        type=Path,
        help="picture of the first photo's size: what was drawn on nothing (PNG), or the photo "
        "after it",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("transfer"),
        help="gets transfer.json and transfer.png, of an edit also edited0.png and edited1.png",
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
    edit: Path | None,
    out: Path,
    prompt: str,
    soft_argmax: bool,
    json: bool,
    **flags: object,
) -> int:
    import torch

    from dift_geo.images import read_image
    from dift_geo.mapper import MapOptions
    from dift_geo.recipe import write_json

    options = take_flags(MapOptions, flags)
    if bool(points) == (edit is not None):
        raise InputError("one of --points and --edit is needed, and not both")
    if edit is not None and soft_argmax:
        raise InputError("--soft-argmax is for --points; an edit is carried by whole pixels")
    check_folder_to_write(out)
    for name in (PICTURE, *EDITED):
        check_apart(image0=image0, picture=out / name)
        check_apart(image1=image1, picture=out / name)
        check_apart(edit=edit, picture=out / name)
    pictures = read_image(image0), read_image(image1)
    xy0 = _pixels(points, (pictures[0].shape[1], pictures[0].shape[0]))
    layer = None if edit is None else _layer(edit, pictures[0])
    mapper = options.build("semantic")
    if mapper.still:
        raise InputError("backend 'still' looks at nothing and finds no points; use another")
    with torch.inference_mode():
        maps = [
            mapper.map(picture, str(file), prompt)
            for picture, file in zip(pictures, (image0, image1))
        ]
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, object] = {
        "image0": str(image0),
        "image1": str(image1),
        "prompt": prompt,
    }
    if layer is None:
        found, rows = _of_points(xy0, pictures, maps, out, soft_argmax)
    else:
        found, rows = _of_edit(layer, pictures, maps, out, options.seed)
    record |= {**found, "recipe": mapper.recipe()}
    write_json(out / RECORD, record)
    close({**record, "out": out}, json, {**rows, "out": out})
    if not found.get("doubtful"):
        return 0
    print(
        f"dift-geo: only {found['inliers']} of {found['pixels']} pixels agree on where the edit "
        "lies, as many as chance has given: do not rely on it",
        file=sys.stderr,
    )
    return NOT_TRUSTED


def _of_points(
    xy0: Sequence[Sequence[float]],
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    maps: Sequence[FeatureMap],
    out: Path,
    soft_argmax: bool,
) -> tuple[dict[str, object], dict[str, object]]:
    import numpy as np
    import torch

    from dift_geo.images import write_image
    from dift_geo.matching.transfer import SoftArgmax, best_pixels
    from dift_geo.report.drawing import draw_matches

    with torch.inference_mode():
        rows = maps[0].sample(torch.tensor(xy0))
        soft = SoftArgmax() if soft_argmax else None
        xy1 = best_pixels(rows, maps[1].values, maps[1].size_wh, soft).numpy()
    write_image(out / PICTURE, draw_matches(*pictures, np.array(xy0), xy1))
    return {"xy0": xy0, "xy1": xy1.tolist()}, {"points": len(xy1)}


def _of_edit(
    layer: NDArray[np.uint8],
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    maps: Sequence[FeatureMap],
    out: Path,
    seed: int,
) -> tuple[dict[str, object], dict[str, object]]:
    import numpy as np

    from dift_geo.edit import carry_edit, laid_over
    from dift_geo.images import write_image
    from dift_geo.report.drawing import draw_matches

    carried = carry_edit(layer, maps[0], maps[1], seed=seed)
    edited = laid_over(layer, pictures[0]), laid_over(carried.layer, pictures[1])
    for name, picture in zip(EDITED, edited):
        write_image(out / name, picture)
    none = np.zeros((0, 2))
    write_image(out / PICTURE, draw_matches(*edited, none, none))
    found = {
        "H_1_from_0": carried.H_1_from_0.tolist(),
        "pixels": len(carried.xy0),
        "inliers": int(carried.inliers.sum()),
        "doubtful": carried.doubtful,
    }
    return found, {"pixels of the edit": found["pixels"], "that fit": found["inliers"]}


def _layer(file: Path, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) of a picture with or without transparency."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    from dift_geo.edit import edit_layer
    from dift_geo.images import read_image

    if not file.is_file():
        raise MissingFileError(f"no edit at {file}")
    try:
        with Image.open(file) as opened:
            if "A" in opened.getbands() or "transparency" in opened.info:
                return edit_layer(np.asarray(opened.convert("RGBA")), picture)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{file} is no picture that can be read: {error}") from error
    return edit_layer(read_image(file), picture)


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
