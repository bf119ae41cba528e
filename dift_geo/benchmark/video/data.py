"""Sequences of frames with the masks of their objects, in the layout of DAVIS. Knows no features
and no scores.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dift_geo.errors import InputError, MissingFileError
from dift_geo.video.masks import read_mask

__all__ = ["Sequence", "Sequences", "read_davis"]

FRAMES, MASKS = Path("JPEGImages", "480p"), Path("Annotations", "480p")
LIST = Path("ImageSets", "2017", "val.txt")
LEAST_FRAMES = 3  # the first and the last are not scored


@dataclass(frozen=True)
class Sequence:
    """A video with its truth.

    name: of its folders.
    frames: names of its images below the folder of the data, in their order.
    masks: file of each frame's mask.
    objects: numbers of the objects, 1 to the largest of the first mask.
    """

    name: str
    frames: tuple[str, ...]
    masks: tuple[Path, ...]
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Sequences:
    """What a folder holds.

    folder: names are relative to it.
    sequences: in the order of the list.
    problems: a line for each sequence that cannot be scored.
    """

    folder: Path
    sequences: tuple[Sequence, ...]
    problems: tuple[str, ...] = ()


def read_davis(folder: str | Path, names: Listed[str] | None = None) -> Sequences:
    """DAVIS-2017: `JPEGImages/480p/<name>/*.jpg`, `Annotations/480p/<name>/*.png` and the list
    `ImageSets/2017/val.txt`.

    names: of those to take, or patterns; None takes all of the list.
    Raises MissingFileError and InputError.
    """
    folder = Path(folder)
    if not (folder / LIST).is_file():
        raise MissingFileError(f"no {folder / LIST}; expected DAVIS-2017 as published, at 480p")
    listed = (folder / LIST).read_text(encoding="utf-8").split()
    if names is not None:
        unknown = [n for n in names if not any(fnmatchcase(known, n) for known in listed)]
        if unknown:
            raise InputError(f"no sequence {', '.join(unknown)}; there are {', '.join(listed)}")
        listed = [known for known in listed if any(fnmatchcase(known, n) for n in names)]
    found, problems = [], []
    for name in listed:
        try:
            found.append(_sequence(folder, name))
        except (InputError, MissingFileError) as error:
            problems.append(f"{name} is left out: {error}")
    return Sequences(folder, tuple(found), tuple(problems))


def _sequence(folder: Path, name: str) -> Sequence:
    frames = sorted((folder / FRAMES / name).glob("*.jpg"))
    if len(frames) < LEAST_FRAMES:
        raise InputError(
            f"{len(frames)} frames in {folder / FRAMES / name}, expected at least {LEAST_FRAMES}"
        )
    masks = [folder / MASKS / name / f"{frame.stem}.png" for frame in frames]
    lost = [mask for mask in masks if not mask.is_file()]
    if lost:
        raise MissingFileError(f"no {lost[0]} and {len(lost) - 1} more")
    objects = int(read_mask(masks[0]).max())
    if not objects:
        raise InputError(f"{masks[0]} shows no object")
    return Sequence(
        name,
        tuple(frame.relative_to(folder).as_posix() for frame in frames),
        tuple(masks),
        tuple(range(1, objects + 1)),
    )
