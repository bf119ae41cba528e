"""One style of progress: what is done, how far, and the time that is left. On a terminal alone, so
that pipes and logs stay quiet. Knows no work.
"""

from __future__ import annotations

from collections.abc import Iterable

from tqdm import tqdm

__all__ = ["progress"]


def progress(
    items: Iterable[object] | None,
    what: str,
    *,
    unit: str,
    total: int | None = None,
    done: int = 0,
    bytes_of: bool = False,
    shown: bool = True,
) -> tqdm:
    """The items again, under a bar on stderr where that is a terminal.

    items: None for a bar that is moved by its `update`.
    what: a word for the work: `extract`.
    unit: of one item: `image`.
    total: how many there are, where items do not know it.
    done: of them before.
    bytes_of: large numbers are shortened as those of bytes are.
    shown: False never shows it.
    """
    return tqdm(
        items,
        what,
        total,
        initial=done,
        unit=unit,
        unit_scale=bytes_of,
        dynamic_ncols=True,
        disable=None if shown else True,
    )
