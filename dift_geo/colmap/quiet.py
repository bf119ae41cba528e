"""COLMAP's own log, turned down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pycolmap

__all__ = ["quiet", "silent"]


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


@contextmanager
def silent() -> Iterator[None]:
    """Nothing on stderr for the time of a call: FAISS, inside of COLMAP, prints advice there that
    no log level turns down.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
