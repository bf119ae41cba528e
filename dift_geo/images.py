"""Folders of photos: list them, say what is passed over, identify, read, resize, write.

Decodes to uint8 RGB in the frame that is stored in the file: a rotation in the EXIF data is
ignored, as hloc and COLMAP do, so that all three agree on what pixel (x, y) is. A file counts for
what its bytes are, whatever its extension. Knows nothing of keypoints or networks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, NotAFolderError, WriteError
from dift_geo.imagefiles import decode
from dift_geo.recipe import write_whole

__all__ = [
    "EXTENSIONS",
    "Listing",
    "Stamp",
    "content_hash",
    "list_images",
    "read_image",
    "read_mask",
    "resize_longest",
    "stamp",
    "survey",
    "write_image",
]

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
# how files begin that are images whatever they are called
MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(hei|hev|mif|avi[fs])"
    rb"|\0\0\0\x0cjP  |BM.{4}\0{4}",
    re.DOTALL,
)


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


@dataclass(frozen=True)
class Stamp:
    """Whether a file may have changed, at a glance: its size in bytes, its time in nanoseconds."""

    size: int
    mtime_ns: int


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
            if MAGIC.match(file.read(32)):
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


def stamp(path: str | Path) -> Stamp:
    """Size and time of a file. Raises FileNotFoundError when there is none."""
    try:
        stat = Path(path).stat()
    except FileNotFoundError:
        raise MissingFileError(f"no image at {path}") from None
    return Stamp(stat.st_size, stat.st_mtime_ns)


def content_hash(path: str | Path) -> str:
    """A hash of a file's bytes (BLAKE2, 16 bytes), whatever its name and time."""
    digest = blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode one image to (H, W, 3) uint8 RGB; grey, palette and CMYK files are converted.

    Pictures of more than 8 bits keep their top 8; where they use less than a quarter of their range
    (thermal cameras, 12 bits in 16) what they use is stretched over 0 to 255.
    Raises FileNotFoundError when there is no file and ValueError when it is empty, truncated, no
    image, or claims more than 179 million pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no image at {path}")
    data = path.read_bytes()  # not imread: it cannot open some unicode paths
    try:
        return _to_8_bits(decode(data))
    except ValueError as error:
        raise InputError(f"{path} {error}") from error


def _to_8_bits(image: NDArray) -> NDArray[np.uint8]:
    """(H, W, 3) of any depth -> uint8: its top 8 bits, or what it uses of its range where that is
    little.
    """
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    finite = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
    low, high = (float(x) for x in np.percentile(finite[::4, ::4], [0.1, 99.9]))
    whole = 65535.0 if image.dtype == np.uint16 else 0.0  # floats have no range of their own
    if whole and high - low >= whole / 4:
        return np.asarray(image >> 8, np.uint8)
    stretched = (finite - low) * (255 / max(high - low, 1e-12))
    return np.asarray(stretched.round().clip(0, 255), np.uint8)


def read_mask(folder: str | Path, name: str, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where keypoints of the image `name` are wanted: (H, W) bool, or None where it has no mask.

    COLMAP's convention: `FOLDER/NAME.png`, black (0) is ignored. Raises ValueError when the mask
    has another size than the image.
    """
    file = Path(folder) / f"{name}.png"
    if not file.is_file():
        return None
    wanted = read_image(file).max(axis=2) > 0
    if wanted.shape != (size_wh[1], size_wh[0]):
        h, w = wanted.shape
        raise InputError(
            f"mask {file} is {w} x {h}, expected {size_wh[0]} x {size_wh[1]} as {name}"
        )
    return np.asarray(wanted, np.bool_)


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Encode (H, W, 3) uint8 RGB by the extension of `path`. Raises OSError when it cannot be
    written.
    """
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise WriteError(
            f"{path}: OpenCV cannot encode {path.suffix!r}; expected one of {sorted(EXTENSIONS)}"
        )
    encoded, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise WriteError(f"{path}: OpenCV cannot encode an image of shape {image.shape}")
    write_whole(path, data.tobytes())


def resize_longest(image: NDArray[np.uint8], longest: int | None) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) so that its longest side is at most `longest` pixels, which must be at least
    1.

    Smaller images and None pass unchanged. Area interpolation, which does not alias when shrinking.
    """
    h, w = image.shape[:2]
    if longest is None or max(h, w) <= longest:
        return image
    if longest < 1:
        raise InputError(f"longest side is {longest}, expected at least 1")
    factor = longest / max(h, w)
    size_wh = max(1, round(w * factor)), max(1, round(h * factor))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
