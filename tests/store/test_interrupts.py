"""Ctrl-C and SIGTERM at any moment leave stores whole and lose nothing that is finished."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from stored import RECIPE, assert_equal, features, left_over

from dift_geo.store.features import FeatureStore
from dift_geo.store.interrupts import signals_wait


class Ctrl:
    """Ctrl-C at random moments, of which at most two get through for each time it is armed: one
    more could hit what catches them.
    """

    def __init__(self, seed: int) -> None:
        self.left = 0
        self._draw = random.Random(seed)
        signal.signal(signal.SIGINT, self._act)
        threading.Thread(target=self._shoot, daemon=True).start()

    def _act(self, *_: object) -> None:
        if self.left:
            self.left -= 1
            raise KeyboardInterrupt

    def _shoot(self) -> None:
        while True:
            time.sleep(self._draw.uniform(0.0005, 0.02))
            os.kill(os.getpid(), signal.SIGINT)


def write_all(path: Path, images: int) -> None:
    with FeatureStore(path, RECIPE) as store:
        for i in range(images):
            if f"{i}.jpg" not in store:
                store[f"{i}.jpg"] = features(seed=i)
                store.flush()
        store.merge()


def write_under_fire(path: Path, seed: int) -> None:
    """Go on and on with a store that grows."""
    sys.unraisablehook = lambda _: None  # an interruption within Python's own clearing up
    end, images, fire = time.monotonic() + 1.5, 0, Ctrl(seed)
    while time.monotonic() < end:
        images += 1
        with suppress(KeyboardInterrupt), suppress(KeyboardInterrupt):  # one for each
            fire.left = 2
            write_all(path, images)
            fire.left = 0
        fire.left = 0


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("seed", range(3))
def test_interruptions_at_any_moment(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "f.h5"
    writer = get_context("fork").Process(target=write_under_fire, args=(path, seed))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    with FeatureStore(path) as store:
        there = len(store)
        assert there > 9
        for i in range(there):
            assert_equal(store[f"{i}.jpg"], features(seed=i))
    write_all(path, there + 1)
    with FeatureStore(path) as store:
        assert len(store) == there + 1
    assert left_over(tmp_path) == []


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    done = []

    def block() -> None:
        with signals_wait():
            with signals_wait():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["inner", "outer"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_long_block_says_where_a_signal_may_act() -> None:
    done = []

    def block() -> None:
        with signals_wait() as act_now:
            for i in range(9):
                act_now()
                if i == 3:
                    signal.raise_signal(signal.SIGINT)
                done.append(i)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [0, 1, 2, 3]


def test_a_programs_own_handler_is_called_and_stays() -> None:
    got = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    try:
        with signals_wait() as act_now:
            signal.raise_signal(signal.SIGTERM)
            assert got == []
            act_now()
            assert got == [signal.SIGTERM]
            signal.raise_signal(signal.SIGTERM)
            assert got == [signal.SIGTERM]
        assert got == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_change_no_handlers(tmp_path: Path) -> None:
    def write() -> None:
        with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
            store["a"] = features()
            store.merge()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert_equal(store["a"], features())
