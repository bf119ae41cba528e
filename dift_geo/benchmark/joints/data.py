"""Clips of people with the places of their joints, in the layout of JHMDB. Knows no features and no
scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, MissingPackageError

__all__ = ["JOINTS", "Clip", "Clips", "read_jhmdb"]

LISTS = ("splits/val_list.txt", "splits/testlist_split1.txt", "testlist_split1.txt")
ROOTS = ("Rename_Images", "joint_positions")  # what lists of other machines' paths lead to
JOINTS = (
    *("neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip"),
    *("right elbow", "left elbow", "right knee", "left knee", "right wrist", "left wrist"),
    *("right ankle", "left ankle"),
)


@dataclass(frozen=True)
class Clip:
    """A video with its truth.

    name: action and clip, `catch/NAME`.
    frames: names of its images below the folder of the data, in their order.
    xy: (T, 15, 2) float64 pixels of the joints in each of them, as `JOINTS` names them.
    """

    name: str
    frames: tuple[str, ...]
    xy: NDArray[np.float64]


@dataclass(frozen=True)
class Clips:
    """What a folder holds.

    folder: names are relative to it.
    clips: in the order of the list.
    problems: a line for each clip that cannot be scored.
    """

    folder: Path
    clips: tuple[Clip, ...]
    problems: tuple[str, ...] = ()


def read_jhmdb(folder: str | Path, names: Sequence[str] | None = None) -> Clips:
    """JHMDB: a list with a folder of frames and a file of joints a line, as UVC and videowalk take
    it, in `splits/val_list.txt` or `testlist_split1.txt`; `Rename_Images/<action>/<clip>/*.png`;
    `joint_positions/<action>/<clip>/joint_positions.mat`.

    names: of the clips to take, or patterns; None takes all of the list.
    Raises MissingFileError, InputError, and MissingPackageError without scipy.
    """
    folder = Path(folder)
    listed = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if listed is None:
        raise MissingFileError(
            f"no {folder / LISTS[0]}; expected JHMDB with a list of `FRAMES JOINTS` a line"
        )
    rows = [line.split() for line in listed.read_text(encoding="utf-8").splitlines() if line]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2), None)
    if wrong is not None:
        raise InputError(
            f"{listed} has {len(rows[wrong - 1])} words in line {wrong}, expected a folder of "
            "frames and a file of joints"
        )
    known = {"/".join(Path(frames).parts[-2:]): (frames, joints) for frames, joints in rows}
    if names is not None:
        lost = [n for n in names if not any(fnmatchcase(name, n) for name in known)]
        if lost:
            raise InputError(f"no clip {', '.join(lost)} in {listed}")
        known = {n: own for n, own in known.items() if any(fnmatchcase(n, p) for p in names)}
    found, problems = [], []
    for name, (frames, joints) in known.items():
        try:
            found.append(_clip(folder, name, _place(folder, frames), _place(folder, joints)))
        except (InputError, MissingFileError) as error:
            problems.append(f"{name} is left out: {error}")
    return Clips(folder, tuple(found), tuple(problems))


def _place(folder: Path, words: str) -> Path:
    """Where a list's path is here."""
    parts = Path(words).parts
    if not Path(words).is_absolute():
        return folder / words
    start = next((parts.index(root) for root in ROOTS if root in parts), None)
    if start is None:
        raise InputError(f"{words} leads to neither {' nor '.join(ROOTS)}")
    return folder.joinpath(*parts[start:])


def _clip(folder: Path, name: str, frames: Path, joints: Path) -> Clip:
    xy = _read_joints(joints)
    files = sorted(file for file in frames.glob("*.png") if file.stem.isdigit())
    if len(files) < len(xy) or len(xy) < 2:
        raise InputError(
            f"{len(files)} frames in {frames} and {len(xy)} in {joints.name}, expected at least "
            "two with joints"
        )
    return Clip(name, tuple(f.relative_to(folder).as_posix() for f in files[: len(xy)]), xy)


def _read_joints(file: Path) -> NDArray[np.float64]:
    """(T, 15, 2) pixels, counted from 0; the file counts them from 1."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingPackageError(
            "JHMDB's files of joints need scipy; pip install 'dift-geo[jhmdb]'"
        ) from error
    if not file.is_file():
        raise MissingFileError(f"no {file}")
    try:
        found = np.asarray(loadmat(file, variable_names=["pos_img"])["pos_img"], np.float64)
    except Exception as error:  # whatever a damaged file makes of it
        raise InputError(f"{file} holds no pos_img that can be read: {error!r}") from error
    if found.ndim != 3 or found.shape[:2] != (2, len(JOINTS)) or not np.isfinite(found).all():
        raise InputError(
            f"pos_img of {file} has shape {found.shape}, expected finite (2, {len(JOINTS)}, T)"
        )
    return found.transpose(2, 1, 0) - 1
