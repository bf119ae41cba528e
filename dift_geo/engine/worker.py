"""What an engine runs in another process: a function that was sent there, applied to items.

Knows no cluster, no images and no files.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dift_geo import __version__
from dift_geo.engine.local import Local
from dift_geo.errors import WorkersError

__all__ = ["Failed", "Parcel", "Worker"]


@dataclass(frozen=True)
class Parcel:
    """A function on its way.

    version: of dift-geo where it was packed.
    place: the folder that relative paths are meant from.
    device: where it computes.
    content: what it is and what loads for it, pickled: it is unpacked where errors can be told.
    """

    version: str
    place: str
    device: str
    content: bytes

    @classmethod
    def of(
        cls,
        function: Callable,
        load: Callable | None,
        device: str = "cpu",
        dumps: Callable[[object], bytes] = pickle.dumps,
    ) -> Parcel:
        """Pack both."""
        return cls(__version__, os.getcwd(), device, dumps((function, load)))


class _Traceback(Exception):
    """Where an error arose, in words: tracebacks cannot be sent."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Failed:
    """An error, in the place of a result.

    content: the exception, pickled.
    trace: where it arose, in words.
    """

    content: bytes
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """As it can be sent; an exception that cannot becomes one with its words."""
        try:
            content = pickle.dumps(error)
            pickle.loads(content)
        except Exception:
            content = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
        return cls(content, "".join(traceback.format_exception(error)))

    def error(self) -> Exception:
        """The exception; its cause says where it arose."""
        error: Exception = pickle.loads(self.content)
        error.__cause__ = _Traceback(self.trace)
        return error


class Worker:
    """Applies one function to the items that it is given, and later perhaps another one."""

    def __init__(self, cpus: int) -> None:
        """cpus: threads that it may use; more would fight those of other workers."""
        self._cpus = cpus
        self._function: Callable | None = None
        self._load: Callable | None = None

    def start(self, parcel: Parcel) -> Failed | None:
        """Unpack the function; says what is wrong where that cannot be done here."""
        if parcel.version != __version__:
            return Failed.of(
                WorkersError(
                    f"machine {socket.gethostname()} has dift-geo {__version__}, expected "
                    f"{parcel.version}; install the same on all machines of the cluster"
                )
            )
        try:
            with suppress(OSError):  # without that folder, whole paths still work
                os.chdir(parcel.place)
            self._function, self._load = pickle.loads(parcel.content)
            _check_device(parcel.device)
            _use_threads(self._cpus)
        except Exception as error:
            return Failed.of(
                WorkersError(
                    f"machine {socket.gethostname()} cannot begin: {' '.join(str(error).split())}; "
                    "files have to lie in a folder that all machines of the cluster have at the "
                    "same path, and packages have to be the same"
                )
            )
        return None

    def work(self, items: list[object]) -> tuple[list[object], float]:
        """A result for each item, and the seconds of all; after a failure there are no more."""
        assert self._function is not None
        begun = time.perf_counter()
        results: list[object] = []
        try:
            for result in Local().map(self._function, items, self._load):
                results.append(result)
        except Exception as error:
            results.append(Failed.of(error))
        return results, time.perf_counter() - begun


def _check_device(device: str) -> None:
    if device != "cpu":
        from dift_geo.backends.device import pick_device

        pick_device(device)


def _use_threads(count: int) -> None:
    """Tell the libraries that are there; a function that needs none of them starts at once."""
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    if torch is not None:
        torch.set_num_threads(count)
    if cv2 is not None:
        cv2.setNumThreads(count)
