"""`dift-geo track`: the mask of a video's first frame carried to the others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.maps import CARRIED, add_propagation
from dift_geo.cli.places import check_apart, check_folder_to_write
from dift_geo.errors import InputError
from dift_geo.options import add_flags, take_flags
from dift_geo.progress import progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dift_geo.cli.flags import Commands

__all__ = ["add_track"]

RECORD, MASKS, OVERLAYS = "track.json", "masks", "pictures"


def add_track(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.mapper import MapOptions

    parser = command(
        commands,
        "track",
        _track,
        "a video and the mask of its first frame -> masks of all frames",
        "dift-geo track video.mp4 first.png out/",
    )
    parser.add_argument("video", type=Path, help="a file, or a folder of frames sorted by name")
    parser.add_argument(
        "mask", type=Path, help="of the first frame: a palette PNG, or a colour for each object"
    )
    parser.add_argument("out", type=Path, help="gets masks/, pictures/ and track.json")
    add_json_flag(parser)
    add_flags(parser.add_argument_group("features"), MapOptions, without=["side"])
    add_propagation(parser.add_argument_group("propagation", CARRIED))


def _track(video: Path, mask: Path, out: Path, json: bool, **flags: object) -> None:
    from dift_geo.images import write_image
    from dift_geo.mapper import MapOptions
    from dift_geo.recipe import write_json
    from dift_geo.video.carry import carried_masks
    from dift_geo.video.frames import open_frames
    from dift_geo.video.masks import read_mask, write_mask
    from dift_geo.video.options import PropagationOptions
    from dift_geo.video.track import shown_size

    asked = take_flags(PropagationOptions, flags)
    options = take_flags(MapOptions, flags)
    check_folder_to_write(out)
    check_apart(video=video, out=out)
    if any((out / part).exists() for part in (MASKS, OVERLAYS)) and not (out / RECORD).exists():
        raise InputError(
            f"{out} holds {MASKS} or {OVERLAYS} without {RECORD}, so they are of no earlier run; "
            "choose another folder"
        )
    first, frames = read_mask(mask), open_frames(video)
    if not first.any():
        raise InputError(f"{mask} shows no object; expected one or more that are not black")
    mapper = options.build("video")
    if mapper.still and asked != PropagationOptions():
        raise InputError(
            "backend 'still' copies the first mask, on which flags of propagation have nothing to "
            "act; leave them out"
        )
    settings = asked.changed(mapper.propagation())
    if not mapper.still:
        shown_size((first.shape[1], first.shape[0]), settings)  # refuses before anything is written
    for part in (MASKS, OVERLAYS):
        (out / part).mkdir(parents=True, exist_ok=True)
    recipe = mapper.recipe()
    if not mapper.still:
        recipe["propagation"] = asdict(settings)
    record = {"video": str(video), "mask": str(mask), "recipe": recipe}
    write_json(out / RECORD, record)
    areas: dict[str, list[int]] = {}
    shown = progress(frames, "track", unit="frame")
    for (name, image), found in zip(frames, carried_masks(shown, first, mapper, settings)):
        write_mask(out / MASKS / f"{name}.png", found)
        write_image(out / OVERLAYS / f"{name}.jpg", _overlay(image, found))
        areas[name] = [int((found == number).sum()) for number in range(1, int(first.max()) + 1)]
    done = {**record, "frames": len(areas), "pixels_of_objects": areas}
    write_json(out / RECORD, done)
    rows = {"objects": int(first.max()), "frames": len(areas), "out": out}
    close({**done, "out": out}, json, rows)


def _overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame with each object in the colour of its number."""
    from dift_geo.video.masks import COLOURS

    there = mask > 0
    result = image.copy()
    result[there] = image[there] // 2 + COLOURS[mask[there]] // 2
    return result
