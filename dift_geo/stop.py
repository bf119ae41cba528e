"""SIGTERM, which batch systems and containers send, ends a loop as Ctrl-C does. Knows no loops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "stopped_by_sigterm"]


class Terminated(SystemExit):
    """SIGTERM came: the process should end, with the exit code that shells give it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """In the `with` block, SIGTERM raises Terminated, so that finished work is kept.

    A program's own handler stays, and so does what other threads than the main one would do.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated
