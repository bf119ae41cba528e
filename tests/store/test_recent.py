"""Features kept in memory: those used last, within a budget, the same as the source gives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import assert_equal, features

from dift_geo.errors import MissingNameError
from dift_geo.store.recent import Recent, size_in_bytes
from dift_geo.types import Features


class Source:
    """As many features as a name has letters; remembers the names that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str, /) -> Features:
        self.asked.append(name)
        return made(name)


def made(name: str) -> Features:
    if name == "x":
        raise MissingNameError("x is not in the source")
    return features(len(name), seed=int(name.encode().hex(), 16))


def test_what_is_at_hand_is_not_asked_for_again() -> None:
    source = Source()
    recent = Recent(source)
    assert recent["a"] is recent["a"]
    assert recent["b"] is not recent["a"]
    assert source.asked == ["a", "b"]


def test_the_one_used_longest_ago_goes_first() -> None:
    source = Source()
    recent = Recent(source, max_bytes=3 * size_in_bytes(made("a")))
    for name in "abcadeab":
        recent[name]
    assert source.asked == [*"abcdeb"]


def test_both_images_of_a_pair_fit_whatever_their_size() -> None:
    source = Source()
    recent = Recent(source, max_bytes=0)
    for name in "ababcb":
        recent[name]
    assert source.asked == [*"abc"]


def test_a_missing_name_is_not_remembered() -> None:
    recent = Recent(Source())
    for _ in range(2):
        with pytest.raises(MissingNameError, match="x is not in the source"):
            recent["x"]
    assert_equal(recent["aa"], made("aa"))


@given(st.lists(st.text("abc", min_size=1, max_size=5)), st.integers(0, 2000))
def test_any_requests_within_any_budget_are_answered(names: list[str], max_bytes: int) -> None:
    source = Source()
    recent = Recent(source, max_bytes)
    for name in names:
        np.testing.assert_array_equal(recent[name].descriptors, made(name).descriptors)
        at_hand = list(recent._kept)
        assert name == at_hand[-1]
        assert len(at_hand) <= 2 or sum(size_in_bytes(made(n)) for n in at_hand) <= max_bytes
    assert set(source.asked) == set(names)


def test_another_process_gets_the_source_and_nothing_else() -> None:
    recent = Recent(Source(), 99)
    recent["a"]
    sent = pickle.loads(pickle.dumps(recent))
    assert sent.max_bytes == 99
    assert_equal(sent["a"], made("a"))
    assert sent.source.asked == ["a", "a"]
