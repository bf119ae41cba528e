"""The engine of this process: results in order, one item ahead, nothing left running."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.engine.local import AHEAD, Local


def test_without_loading_it_is_map() -> None:
    assert list(Local().map(str.upper, ["a", "b"])) == ["A", "B"]
    assert list(Local().map(str.upper, [])) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers()))
def test_any_items_come_in_order(items: list[int]) -> None:
    assert list(Local().map(lambda loaded: loaded[0] * 2, items, lambda item: (item,))) == [
        item * 2 for item in items
    ]


def test_the_next_item_is_loaded_while_one_is_worked_on() -> None:
    loading = threading.Event()

    def load(item: int) -> int:
        if item == 1:
            loading.set()
        return item

    def work(item: int) -> bool:
        return loading.wait(10) and threading.current_thread() is threading.main_thread()

    assert list(Local().map(work, [0, 1], load)) == [True, True]


def test_no_more_than_one_item_waits() -> None:
    """Each may be a large image."""
    loaded: list[int] = []
    results = Local().map(lambda item: item, range(100), lambda item: loaded.append(item) or item)
    for turn in range(3):
        next(results)
        assert len(loaded) <= turn + 1 + AHEAD
    results.close()
    assert len(loaded) <= 3 + AHEAD


@pytest.mark.parametrize("loads", [True, False])
def test_an_error_is_raised_in_its_turn_and_ends_the_work(loads: bool) -> None:
    def fails(item: int) -> int:
        if item == 2:
            raise ZeroDivisionError("two")
        return item

    def same(item: int) -> int:
        return item

    results = Local().map(*((same, range(9), fails) if loads else (fails, range(9), same)))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="two"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_closing_waits_for_what_is_running(taken: int) -> None:
    running: set[int] = set()

    def load(item: int) -> int:
        running.add(item)
        time.sleep(0.02)
        running.discard(item)
        return item

    results = Local().map(lambda item: item, range(9), load)
    for _ in range(taken):
        next(results)
    results.close()
    assert running == set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("load")]
