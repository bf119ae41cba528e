"""Signals that ask to stop wait until it is safe. Knows no files."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

__all__ = ["signals_wait"]

Handler = Callable[[int, FrameType | None], object] | int
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
    # None: set by something that is not Python, and not ours to replace
    before = {
        number: handler for number in STOPPING if (handler := signal.getsignal(number)) is not None
    }
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    def act() -> None:
        if caught:
            number = caught[0]
            caught.clear()
            _act(number, before[signal.Signals(number)])

    try:
        _set(dict.fromkeys(before, note))
        yield act
    finally:
        _set(before)
        act()


def _set(handlers: Mapping[signal.Signals, Handler]) -> None:
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    except BaseException:  # out of a handler that is set already, and has been called
        for number, handler in handlers.items():
            signal.signal(number, handler)
        raise


def _act(number: int, handler: Handler) -> None:
    if callable(handler):
        handler(number, None)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _nothing() -> None:
    pass
