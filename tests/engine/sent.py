"""What tests send to workers: functions of a module, which other processes can import."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from counting import CountingExtractor

from dift_geo.types import Features


class SlowExtractor(CountingExtractor):
    """Takes its time."""

    def extract(self, image: np.ndarray, name: str) -> Features:
        time.sleep(0.15)
        return super().extract(image, name)


def square(item: int) -> int:
    return item * item


def square_or_fail(folder: Path, item: int) -> int:
    """Fails at 5; every call leaves a file."""
    (folder / f"{item}-{os.getpid()}-{time.monotonic_ns()}").touch()
    if item == 5:
        raise ZeroDivisionError("five")
    return item * item


def square_or_die(folder: Path, times: int, item: int) -> int:
    """Ends its process at 5, so many times."""
    if item == 5:
        died = len(list(folder.iterdir()))
        if died < times:
            (folder / str(died)).touch()
            os._exit(1)
    return item * item


def square_and_sleep(folder: Path, item: int) -> int:
    """Leaves a file when it is done."""
    time.sleep(0.2)
    (folder / str(item)).touch()
    return item * item


class NotHere:
    """Cannot be unpacked."""

    def __call__(self, item: int) -> int:
        return item

    def __reduce__(self):
        return partial(open, "/not/there"), ()
