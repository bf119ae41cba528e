"""Places that a command is given, looked at before any work: can results go there, are inputs what
they are called. Knows no command.
"""

from __future__ import annotations

import os
from pathlib import Path

from dift_geo.errors import InputError, WriteError

__all__ = [
    "check_apart",
    "check_features",
    "check_file_to_write",
    "check_folder_to_write",
    "check_matches",
]
HEAD = 4096  # bytes in which a file that is no text shows it


def check_folder_to_write(folder: Path) -> None:
    """Raise InputError or WriteError where `folder` is none, or cannot be made or written."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder for the results")
    _check_writable(folder)


def check_file_to_write(file: Path, *, text: bool = False) -> None:
    """Raise InputError or WriteError where a file of this name cannot be made or replaced.

    text: only a text may be replaced, as it is a text that will be written.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder, expected the name of a file for the results")
    if text and file.is_file():
        with file.open("rb") as opened:
            if b"\0" in opened.read(HEAD):
                raise InputError(
                    f"{file} is there and no text; choose another name for the results"
                )
    _check_writable(file.absolute().parent)


def check_apart(**places: Path | None) -> None:
    """Raise InputError where two places of a command are one and the same."""
    seen: dict[Path, str] = {}
    for name, place in places.items():
        if place is not None:
            other = seen.setdefault(place.resolve(), name)
            if other != name:
                raise InputError(f"{other} and {name} are both {place}; give them different places")


def _check_writable(folder: Path) -> None:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise WriteError(f"{folder} cannot be made: {place} is a file; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise WriteError(f"{place} may not be written (permission denied); choose another place")


def check_features(path: Path) -> None:
    """Raise MissingFileError, StoreError or InputError where there are no features to read."""
    from dift_geo.store.features import FeatureStore

    with FeatureStore(path) as store:
        if next(iter(store), None) is None:
            raise InputError(
                f"{path} holds no features of any image; expected a file that `dift-geo extract` "
                "or hloc wrote"
            )


def check_matches(path: Path) -> None:
    """The same for matches."""
    from dift_geo.store.matches import MatchStore

    with MatchStore(path) as store:
        if next(iter(store), None) is None:
            raise InputError(
                f"{path} holds no matches of any pair; expected a file that `dift-geo match` or "
                "hloc wrote"
            )
