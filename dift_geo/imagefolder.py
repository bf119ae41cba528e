"""Folders of photos: which files are images, which are masks, and what is passed over and why.

Knows names and how files begin; decodes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dift_geo.errors import InputError, NotAFolderError
from dift_geo.imagefiles import SIGNATURES

__all__ = ["EXTENSIONS", "Listing", "list_images", "survey"]

EXTENSIONS = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "ppm", "pgm", "pnm", "bmp", "tif", "tiff"),
        *("webp", "gif", "avif", "jp2", "heic", "heif"),
    )
)
# Photos that no library here decodes: named when they are passed over, never skipped in silence.
UNREADABLE = frozenset(
    f".{kind}"
    for kind in (
        *(
            "dng",
            "nef",
            "nrw",
            "cr2",
            "cr3",
            "crw",
            "arw",
            "srf",
            "sr2",
            "orf",
            "rw2",
            "raf",
            "pef",
        ),
        *(
            "srw",
            "raw",
            "rwl",
            "3fr",
            "fff",
            "iiq",
            "mrw",
            "x3f",
            "kdc",
            "dcr",
            "erf",
            "mef",
            "gpr",
        ),
        *("jxl", "psd", "exr", "hdr", "svg", "insp"),
    )
)
FILMS = frozenset(f".{kind}" for kind in ("mp4", "mov", "avi", "mkv", "m4v", "mts", "insv"))


@dataclass(frozen=True)
class Listing:
    """What a folder of photos holds.

    names: the images, as `list_images` gives them.
    passed_over: what looks like a photo and is not among them, with the reason.
    masks: masks that lie among the photos, named as COLMAP names them; not among the images either.
    """

    names: list[str]
    passed_over: dict[str, str] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)


def list_images(folder: str | Path) -> list[str]:
    """Names of the images below `folder`: relative paths with forward slashes, sorted, recursive.

    Extensions are compared without case; hidden files and folders are passed over; folders that are
    symbolic links are followed, each place once.
    Raises NotADirectoryError when `folder` is not a folder and ValueError for a name that neither
    HDF5 nor COLMAP's files can hold: no UTF-8, or control characters.
    """
    return survey(folder).names


def survey(folder: str | Path) -> Listing:
    """The same with what is passed over and why."""
    root = Path(folder)
    if not root.is_dir():
        raise NotAFolderError(f"{root} is not a folder; expected a folder of images")
    passed_over: dict[str, str] = {}
    found = sorted(_files_below(root, passed_over))
    images = [name for name in found if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    known = set(images)
    masks = [name for name in images if _is_mask(name, known)]
    for name in found:
        reason = None if name in known else _why_passed_over(root / name)
        if reason is not None:
            passed_over[name] = reason
    names = [name for name in images if name not in set(masks)]
    for name in names:
        _refuse_hostile(name, root)
    return Listing(names, passed_over, masks)


def _files_below(root: Path, passed_over: dict[str, str]) -> Iterator[str]:
    """Relative names of the visible files below a folder; links to folders followed, loops cut.

    passed_over: gets folders and links that lead nowhere, with the reason.
    """

    def unlisted(error: OSError) -> None:
        folder = Path(error.filename)
        if folder == root:
            raise InputError(f"{root} cannot be listed: {error.strerror or error}") from error
        here = folder.relative_to(root).as_posix()
        passed_over[here] = f"cannot be listed: {error.strerror or error}"

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=unlisted, followlinks=True):
        here = Path(folder).relative_to(root)
        real = os.path.realpath(folder)
        if real in seen:
            passed_over[here.as_posix()] = "leads to a folder that is listed under another name"
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if (Path(folder) / name).is_file():
                yield (here / name).as_posix()
            elif PurePosixPath(name).suffix.lower() in EXTENSIONS:
                passed_over[(here / name).as_posix()] = "is no file, or a link to nothing"


def _why_passed_over(path: Path) -> str | None:
    """Why a file is not among the images although it looks like a photo; None: it does not."""
    suffix = path.suffix.lower()
    if suffix in UNREADABLE:
        return f"{path.suffix} cannot be decoded here; convert it to JPEG or PNG"
    if suffix in FILMS:
        return f"{path.suffix} is a film; write pictures of it as JPEG or PNG"
    try:
        with path.open("rb") as file:
            if SIGNATURES.match(file.read(32)):
                return "holds an image, but is not called one; rename it to .jpg or .png"
    except OSError:
        pass
    return None


def _is_mask(name: str, known: set[str]) -> bool:
    """Whether it is the mask of a photo among `known`, as COLMAP names them: `a.jpg.png`."""
    if not name.lower().endswith(".png"):
        return False
    of = name[: -len(".png")]
    top, _, below = of.partition("/")
    return of in known or (top.lower() in ("mask", "masks") and below in known)


def _refuse_hostile(name: str, root: Path) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"image name {name!a} in {root} is no UTF-8; rename the file")
    if re.search(r"[\x00-\x1f\x7f]", name):
        raise InputError(f"image name {name!r} in {root} has control characters; rename the file")
