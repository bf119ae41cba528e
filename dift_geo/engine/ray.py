"""The engine that works on the machines of a Ray cluster.

Plain actors instead of Ray Data or `ray.util.ActorPool`: a worker loads its model once, results
come in the order of the items, so that stores are written as in one process, and what a lost worker
was doing is given to another one. Ray Data would block, sort and count bytes of what is a list of
names, and ActorPool stops at the first actor that dies.

Items travel as names and results through the object store; what an item names is read where it is
worked on. No more than a few items for each worker are on the way. Knows no images, no features and
no files.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dift_geo.engine.contract import Engine
from dift_geo.engine.crew import Hand, Run
from dift_geo.engine.worker import Parcel, Worker
from dift_geo.errors import InputError, MissingPackageError, WorkersError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Ray"]

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")

REST_SECONDS = 10.0  # for which workers wait for the next `map`
ANSWER_SECONDS = 10  # for the machine of an address; Ray itself would try for many minutes


class Ray(Engine):
    """Workers of a cluster, each with a copy of the function; those that are lost are replaced.

    address: `HOST:PORT` of the head, of a cluster that this machine belongs to; None is the cluster
        that `ray start` or RAY_ADDRESS names on this machine, and where there is none its own
        cores.
    cpus: cores of a worker.
    device: where a worker computes: `cpu`, `cuda`, which gives it a GPU of its own, or `auto`,
        which is `cuda` where the cluster has a GPU. The attribute says what it came to.
    """

    def __init__(self, address: str | None = None, *, cpus: int = 1, device: str = "cpu") -> None:
        """Connect to the cluster.

        Raises MissingPackageError without Ray, InputError for an address where none answers or a
        device that cannot be shared out, and WorkersError where no machine has what a worker needs.
        """
        if device.startswith("cuda:"):
            raise InputError(
                f"device is {device!r}, but Ray gives each worker a GPU of its own; "
                "use --device cuda"
            )
        self._ray = _connected(address)
        have = self._ray.cluster_resources()
        cores, gpus = have.get("CPU", 0), have.get("GPU", 0)
        self.device = ("cuda" if gpus else "cpu") if device == "auto" else device
        self.cpus, self.gpus = cpus, int(self.device == "cuda")
        self._idle: list[Any] = []
        self._rest: threading.Timer | None = None
        if not self._room():
            raise WorkersError(
                f"the Ray cluster has {cores:g} core(s) and {gpus:g} GPU(s), and no machine with "
                f"the {cpus} and {self.gpus} that a worker takes; add one, or ask for less"
            )

    def map(
        self,
        function: Callable[[Loaded], Result],
        items: Iterable[Item],
        load: Callable[[Item], Loaded] | None = None,
    ) -> Generator[Result, None, None]:
        """The results of `function(load(item))` in order; see `Engine.map`.

        An item is worked on again where its worker was lost, and an error of its own ends the work
        at once. Raises WorkersError where workers cannot start, are lost again and again at the
        same item, or are not to be had for minutes.
        """
        if self._rest is not None:
            self._rest.cancel()
        parcel = self._ray.put(Parcel.of(function, load, self.device, self._ray.cloudpickle.dumps))
        run = Run(self._ray, self._hire(parcel), self._room)
        try:
            yield from run.results(items)
        finally:
            self._idle += run.close()
            self._rest = threading.Timer(REST_SECONDS, self.release)
            self._rest.daemon = True
            self._rest.start()

    def release(self) -> None:
        """End the workers that wait for the next `map`, so that others can have their cores.

        So it happens where no `map` comes for a while.
        """
        while (actor := self._waiting()) is not None:
            if self._ray.is_initialized():  # or this would join a cluster anew
                with suppress(Exception):  # it may be gone
                    self._ray.kill(actor)

    def _waiting(self) -> Any:
        """A worker that has nothing to do; None where there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _hire(self, parcel: object) -> Callable[[], Hand]:
        remote = self._ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0)(Worker)

        def hire() -> Hand:
            actor = self._waiting() or remote.remote(self.cpus)
            return Hand(actor, actor.start.remote(parcel))

        return hire

    def _room(self) -> int:
        """How many workers the machines that are there can hold."""
        room = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                of_each = [int(has.get("CPU", 0) // self.cpus)]
                if self.gpus:
                    of_each.append(int(has.get("GPU", 0) // self.gpus))
                room += min(of_each)
        return room


def _connected(address: str | None) -> ModuleType:
    """Ray, connected to a cluster; as it is where this process has done that already."""
    try:
        with _own_sigterm(), _environment():
            import ray
    except ImportError as error:
        raise MissingPackageError(
            "--engine ray needs the package ray; pip install 'dift-geo[ray]'"
        ) from error
    if ray.is_initialized():
        return ray
    if address is not None:
        _check_address(address)
    with _own_sigterm(), _environment():
        try:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = "the Ray cluster" if address is None else f"the Ray cluster at {address}"
            raise InputError(
                f"{where} cannot be joined ({' '.join(str(error).split())[:300]}); start this "
                "command on a machine where `ray start --address=HEAD:6379` was done"
            ) from error
    return ray


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address in ("auto", "local"):
        return
    if "/" in address or not host or not port.isdigit():
        raise InputError(
            f"address is {address!r}, expected HOST:PORT of the head of a Ray cluster that this "
            "machine has joined, as `ray start --head` says it"
        )
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({error}); expected HOST:PORT of its head, as "
            "`ray start --head` says it"
        ) from error


@contextmanager
def _environment() -> Iterator[None]:
    """What Ray is told that the user's environment does not say."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing to its makers
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # or it tells of lost workers on stdout
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray puts a handler of its own in the place of ours, by which finished work is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
