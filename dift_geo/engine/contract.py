"""What runs the work of the long loops. Knows no images, no features and no files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

__all__ = ["Engine"]

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


class Engine(Protocol):
    """Applies a function to many items: in this process, in others, on other machines."""

    def map(
        self,
        function: Callable[[Loaded], Result],
        items: Iterable[Item],
        load: Callable[[Item], Loaded] | None = None,
    ) -> Generator[Result, None, None]:
        """The results of `function(load(item))`, one for each item and in the order of the items.

        function: computes. It has to be a function of a module or a `functools.partial` of one,
            which can be sent to another process, and gives the same result wherever and however
            often it is called: an engine may repeat what a lost worker was doing.
        items: small, such as names; they are taken a few ahead of the results, not all at once.
        load: reads what an item names; the same is asked of it as of `function`. It runs ahead of
            `function`, where that one runs, so that reading and computing overlap. None where the
            items are what `function` takes.

        An exception of either is raised in its item's turn, after the results before it, and ends
        the work. So does closing the generator: nothing runs any more when `close` returns.
        """
        ...
