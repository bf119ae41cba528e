"""Recipes: what determines a result, as plain data that JSON can hold; and JSON on disk.

A recipe is compared, shown and hashed here, and nowhere else. Knows nothing of what it describes.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dift_geo.errors import WriteError
from dift_geo.jsonfiles import parse_json

__all__ = [
    "as_json",
    "differences",
    "fingerprint",
    "installed_versions",
    "json_text",
    "package_version",
    "write_json",
    "write_whole",
]


def as_json(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as it comes back from a file: tuples are lists, keys are strings."""
    plain: dict[str, Any] = parse_json(json.dumps(recipe))
    return plain


def fingerprint(recipe: Mapping[str, Any], length: int = 16) -> str:
    """A short hash of a recipe; equal recipes have equal ones whatever the order of their keys."""
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:length]


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Leaves in which two recipes differ, as `a.b is X, expected Y`."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            below = f"{where}.{key}" if where else key
            yield from differences(found.get(key), wanted.get(key), below)
    elif found != wanted:
        yield f"{where} is {found!r}, expected {wanted!r}"


def package_version(name: str) -> str:
    """The installed version of a distribution; `none` where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source tree, or an optional package
        from dift_geo import __version__

        return __version__ if name == "dift-geo" else "none"


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Python, the machine's architecture, and which of the named distributions are installed."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        number = package_version(name)
        if number != "none":
            found[name] = number
    return found


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file that others see complete or not at all. Raises WriteError and leaves nothing."""
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error


def json_text(data: Any) -> str:
    """JSON for machines and people. NaN and infinity are refused."""
    return json.dumps(data, indent=1, allow_nan=False)


def write_json(path: str | Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, f"{json_text(data)}\n".encode())
