"""Workers that are given chunks of items, and what becomes of both.

Knows Ray's calls by the module that it is given, and no cluster: who hires, and how many workers
there is room for, is told by functions.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from dift_geo.engine.worker import Failed
from dift_geo.errors import WorkersError
from dift_geo.store.interrupts import signals_wait

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Hand", "Run"]

logger = logging.getLogger(__name__)
END_SECONDS = 10  # until workers that are told to end have ended
CHUNK_SECONDS = 1.0  # of work sent at once: long against the way there, short against a run
MOST_AT_ONCE = 32  # items of a chunk
QUEUED = 2  # chunks given to a worker, so that it never waits for the next one
WINDOW = 4  # chunks for each worker that are not handed on yet
LIVES = 4  # workers that may be lost at a chunk before it is taken for the cause
LISTEN_SECONDS = 0.5  # to the next look at signals, too
LOOK_SECONDS = 2.0  # between looks at what the cluster has
PATIENCE_SECONDS = 300.0  # without any worker


class _Chunk:
    """Items that are worked on together, and what came of them."""

    def __init__(self, items: list[object]) -> None:
        self.items = items
        self.results: list[object] | None = None
        self.lost = 0  # workers at it
        self.alone = False  # given to a worker that has nothing else, so that it is known who dies


class Hand:
    """A worker as it is seen from here.

    actor: where it is.
    starting: what its start will say; None once it has started.
    calls: what it was given and has not answered.
    """

    def __init__(self, actor: Any, starting: object) -> None:
        self.actor = actor
        self.starting: object | None = starting
        self.calls: dict[object, _Chunk] = {}


class Run:
    """One `map`: chunks that wait, workers and what they are at."""

    def __init__(self, ray: ModuleType, hire: Callable[[], Hand], room: Callable[[], int]) -> None:
        self.ray, self.hire, self.room = ray, hire, room
        self.hands: list[Hand] = []
        self.waiting: deque[_Chunk] = deque()  # to be handed on, in order
        self.todo: deque[_Chunk] = deque()  # to be given to a worker
        self.seconds = CHUNK_SECONDS  # of an item, as measured last
        self.unborn = 0  # workers that were lost as they started, in a row
        self.places = self.room()
        self.looked = self.worked = time.monotonic()

    def results(self, items: Iterable[object]) -> Iterator[Any]:
        """See `Engine.map`."""
        source = iter(items)
        while True:
            self._take(source)
            if not self.waiting:
                return
            first = self.waiting[0].results
            if first is not None:
                self.waiting.popleft()
                for result in first:
                    if isinstance(result, Failed):
                        raise result.error()
                    yield result
                continue
            self._staff()
            self._give()
            self._listen()

    def _take(self, source: Iterator[object]) -> None:
        while len(self.waiting) < WINDOW * max(1, self.places):
            count = max(1, min(MOST_AT_ONCE, int(CHUNK_SECONDS / self.seconds)))
            chunk = _Chunk(list(islice(source, count)))
            if not chunk.items:
                return
            self.waiting.append(chunk)
            self.todo.append(chunk)

    def _staff(self) -> None:
        """Hire as many workers as the cluster has places and the work has use for."""
        now = time.monotonic()
        if now - self.looked > LOOK_SECONDS or not self.hands:
            self.looked, self.places = now, self.room()
        open_chunks = sum(chunk.results is None for chunk in self.waiting)
        while len(self.hands) < min(self.places, open_chunks):
            self.hands.append(self.hire())
        if any(hand.starting is None for hand in self.hands):
            self.worked = now
        elif now - self.worked > PATIENCE_SECONDS:
            raise WorkersError(
                f"no worker could be had of the Ray cluster for {PATIENCE_SECONDS / 60:.0f} "
                "minutes: its machines are gone or taken; `ray status` on one of them says more"
            )

    def _give(self) -> None:
        for calls in range(QUEUED):  # one to each before any has a second
            for hand in self.hands:
                if not self.todo or hand.starting is not None or len(hand.calls) > calls:
                    continue
                before = list(hand.calls.values())
                if not any(chunk.alone for chunk in before) and not (before and self.todo[0].alone):
                    chunk = self.todo.popleft()
                    hand.calls[hand.actor.work.remote(chunk.items)] = chunk

    def _listen(self) -> None:
        """Wait for some answers and take them."""
        refs: dict[object, Hand] = {}
        for hand in self.hands:
            refs |= dict.fromkeys(hand.calls, hand)
            if hand.starting is not None:
                refs[hand.starting] = hand
        if not refs:
            time.sleep(LISTEN_SECONDS)
            return
        with signals_wait():  # Ray would make another exception of what their handlers raise
            ready, _ = self.ray.wait(list(refs), num_returns=1, timeout=LISTEN_SECONDS)
            for ref in ready:
                self._hear(refs[ref], ref)

    def _hear(self, hand: Hand, ref: object) -> None:
        errors = self.ray.exceptions
        lost = errors.RayActorError, errors.ObjectLostError, errors.NodeDiedError
        try:
            answer = self.ray.get(ref)
        except (*lost, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            self._lose(hand, ref, error)
            return
        except errors.RayError as error:
            raise WorkersError(
                f"a worker cannot do its work ({' '.join(str(error).split())[-300:]}); every "
                "machine of the cluster needs this dift-geo and what it needs"
            ) from error
        if ref == hand.starting:
            if isinstance(answer, Failed):
                raise answer.error()
            hand.starting, self.unborn = None, 0
            return
        self._answered(hand, ref, answer)

    def _answered(self, hand: Hand, ref: object, answer: tuple[list[object], float]) -> None:
        chunk = hand.calls.pop(ref)
        chunk.results, seconds = answer
        self.seconds = max(1e-6, seconds / len(chunk.items))

    def _lose(self, hand: Hand, lost: object, error: Exception) -> None:
        """Part with a worker; what it was doing comes next."""
        self._dismiss(hand)
        self.hands.remove(hand)
        for ref in [ref for ref in hand.calls if ref != lost]:  # answers that came before
            with suppress(self.ray.exceptions.RayError):
                self._answered(hand, ref, self.ray.get(ref, timeout=0))
        self.unborn += hand.starting is not None
        if self.unborn > LIVES + 2 * self.places:
            raise WorkersError(
                f"workers are lost as they start ({' '.join(str(error).split())[:300]}); look for "
                "too little memory on the machines of the cluster"
            ) from error
        for chunk in reversed(hand.calls.values()):
            chunk.alone = True
            self.todo.appendleft(chunk)
        self.places = self.room()
        logger.warning(
            "a worker was lost, %s", "its work is done again" if hand.calls else "before it began"
        )
        for chunk in list(hand.calls.values())[:1]:  # the others wait behind it
            chunk.lost += 1
            if chunk.lost == LIVES:
                raise WorkersError(
                    f"{LIVES} workers were lost one after the other at {_told(chunk.items)}; "
                    "look for too little memory there, or a file that crashes its reader "
                    f"({' '.join(str(error).split())[:200]})"
                )

    def _dismiss(self, hand: Hand) -> None:
        with suppress(Exception):  # it may be gone
            self.ray.kill(hand.actor)

    def close(self) -> list[Any]:
        """End the workers that are at something, and wait for it; returns the others."""
        idle = [hand for hand in self.hands if not hand.calls and hand.starting is None]
        calls = [ref for hand in self.hands for ref in hand.calls]
        for hand in self.hands:
            if hand not in idle:
                self._dismiss(hand)
        if calls:
            with suppress(Exception):
                self.ray.wait(calls, num_returns=len(calls), timeout=END_SECONDS)
        self.hands.clear()
        return [hand.actor for hand in idle]


def _told(items: list[object]) -> str:
    more = f" and {len(items) - 1} after it" if len(items) > 1 else ""
    return f"{items[0]!r}{more}"
