"""COLMAP's own log, turned down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pycolmap

__all__ = ["quiet"]


@contextmanager
def quiet(least: pycolmap.logging.Level | None = None) -> Iterator[None]:
    """COLMAP's own log lines from ERROR (or `least`) up only, for the time of a call."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = (pycolmap.logging.Level.ERROR if least is None else least).value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
