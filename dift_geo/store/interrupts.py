"""Signals that ask to stop wait until it is safe. Knows no files."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["signals_wait"]

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_wait() -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM act at the end of the `with` block, or where it calls what it is given.

    An exception in the middle of HDF5's calls would leave its file half written in memory. Blocks
    may stand inside each other; the outermost decides. Other threads than the main one never see
    these signals and need no protection.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _nothing
        return
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    # None: set by something that is not Python, and not ours to replace
    before = {number: handler for number, handler in before.items() if handler is not None}

    def act() -> None:
        if caught:
            for number, handler in before.items():
                signal.signal(number, handler)
            first = caught[0]
            caught.clear()
            signal.raise_signal(first)
            for number in before:  # where the outer handler only took note of it
                signal.signal(number, note)

    for number in before:
        signal.signal(number, note)
    try:
        yield act
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


def _nothing() -> None:
    pass
