"""The engine that works in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar, cast

from dift_geo.engine.contract import Engine

__all__ = ["Local"]

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")
AHEAD = 1  # items loaded while one is worked on; each takes the memory of an image


class Local(Engine):
    """One item after the other in the calling thread; another thread loads the next meanwhile."""

    def map(
        self,
        function: Callable[[Loaded], Result],
        items: Iterable[Item],
        load: Callable[[Item], Loaded] | None = None,
    ) -> Generator[Result, None, None]:
        """The results of `function(load(item))` in order; see `Engine.map`."""
        if load is None:
            yield from map(function, cast("Iterable[Loaded]", items))
            return
        with closing(_loaded_ahead(load, items)) as ready:
            for loaded in ready:
                yield function(loaded)


def _loaded_ahead(
    load: Callable[[Item], Loaded], items: Iterable[Item]
) -> Generator[Loaded, None, None]:
    waiting: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
