"""Matches on disk: none without the number of keypoints, read in either order."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import RECIPE, matches

from dift_geo.errors import InputError, StoreError
from dift_geo.store.matches import MatchStore, pair_key, refuse_name_clashes
from dift_geo.types import Matches


@pytest.mark.parametrize("pairs", [[], [[0, 3]], [[1, 40000], [2, 32768], [70000, 0]]])
def test_matches_round_trip_past_int16(tmp_path: Path, pairs) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a/x.jpg", "b y.jpg"), matches(pairs), 80000)
        store.merge()
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == [("a/x.jpg", "b y.jpg")]
        np.testing.assert_array_equal(
            store["a/x.jpg", "b y.jpg"].pairs, np.array(pairs).reshape(-1, 2)
        )
    with h5py.File(tmp_path / "m.h5") as file:
        group = file["a-x.jpg/b y.jpg"]  # as hloc's names_to_pair
        assert group["matches0"].shape == group["matching_scores0"].shape == (80000,)
        assert group["matches0"].dtype == np.int32
        assert group["matching_scores0"].dtype == np.float16


def test_matches_are_read_in_either_order(tmp_path: Path) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a", "b"), matches([[0, 7], [1, 3]], [0.25, 0.75]), 2)
        for _ in range(2):  # pending, then on disk
            assert ("b", "a") in store
            assert ("b", "c") not in store
            swapped = store["b", "a"]
            assert swapped.pairs.tolist() == [[3, 1], [7, 0]]
            assert swapped.scores.tolist() == [0.75, 0.25]
            with pytest.raises(KeyError, match=r"\('b', 'c'\) is not in .*m.h5, in neither order"):
                store["b", "c"]
            store.flush()


def test_matches_that_do_not_fit_the_layout_are_refused(tmp_path: Path) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        with pytest.raises(
            ValueError, match=r"\('a', 'b'\) use keypoint 5 of the first image, which has 5"
        ):
            store.put(("a", "b"), matches([[5, 0]]), 5)
        with pytest.raises(ValueError, match="use a keypoint of the first image twice"):
            store.put(("a", "b"), matches([[1, 0], [1, 2]]), 5)


@pytest.mark.parametrize("flushed", [True, False])
def test_pairs_that_share_a_place_are_told_apart(tmp_path: Path, flushed: bool) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a/b.jpg", "c.jpg"), matches([[0, 0]]), 1)
        store.flush() if flushed else None
        with pytest.raises(
            StoreError, match=r"same place in matches files \(hloc's layout\); rename an image"
        ):
            ("a-b.jpg", "c.jpg") in store  # noqa: B015
        with pytest.raises(StoreError, match="rename an image"):
            store.put(("a-b.jpg", "c.jpg"), matches([[0, 0]]), 1)


def test_pair_key_is_hlocs() -> None:
    assert pair_key("db/1.jpg", "q/x/2.jpg") == "db-1.jpg/q-x-2.jpg"


def test_reads_matches_of_hloc(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("query-a.jpg/db-b.jpg")
        group.create_dataset("matches0", data=np.array([-1, 4, -1, 2], np.int16))
        group.create_dataset("matching_scores0", data=np.array([0, 0.5, 0, 1], np.float16))
    with MatchStore(tmp_path / "m.h5") as store:
        assert store["query/a.jpg", "db/b.jpg"].pairs.tolist() == [[1, 4], [3, 2]]
        assert store["query/a.jpg", "db/b.jpg"].scores.tolist() == [0.5, 1]
        assert list(store) == [("query-a.jpg", "db-b.jpg")]


def test_matches_without_the_number_of_keypoints_are_refused(tmp_path: Path) -> None:
    """Assigning them wrote `matches0` that ended with the last match."""
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        with pytest.raises(InputError, match=r"use put\(pair, matches, count0\)") as refusal:
            store["a", "b"] = matches([[0, 3]])
        assert "\n" not in str(refusal.value)
        assert ("a", "b") not in store
        store.merge()
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == []


@st.composite
def counted_matches(draw: st.DrawFn) -> tuple[int, Matches]:
    """How many keypoints the first image has, and matches that each use another one of them."""
    count0 = draw(st.integers(0, 40))
    index0 = draw(st.lists(st.integers(0, count0 - 1), unique=True) if count0 else st.just([]))
    index1 = draw(st.lists(st.integers(0, 2**31 - 1), min_size=len(index0), max_size=len(index0)))
    scores = np.linspace(0, 1, len(index0), dtype=np.float16)
    return count0, matches(np.array([index0, index1], np.int64).T, scores)


@settings(max_examples=100, deadline=None)
@given(counted_matches())
def test_any_matches_have_a_place_for_every_keypoint(counted: tuple[int, Matches]) -> None:
    count0, written = counted
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.h5"
        with MatchStore(path, RECIPE) as store:
            store.put(("a", "b"), written, count0)
            pending = store["a", "b"]
            store.merge()
        with h5py.File(path) as file:
            assert file["a/b/matches0"].shape == file["a/b/matching_scores0"].shape == (count0,)
        with MatchStore(path) as store:
            read = store["a", "b"]
            swapped = store["b", "a"]
    order = np.argsort(written.pairs[:, 0])
    for found in (pending, read):
        np.testing.assert_array_equal(found.pairs, written.pairs[order])
        np.testing.assert_array_equal(found.scores, written.scores[order])
    np.testing.assert_array_equal(swapped.pairs, read.swapped().pairs)


def test_names_that_share_a_place_are_refused_before_any_work() -> None:
    refuse_name_clashes([("a/b.jpg", "c.jpg"), ("c.jpg", "a/c.jpg")])
    with pytest.raises(InputError, match=r"'a-b.jpg' and 'a/b.jpg' share one name"):
        refuse_name_clashes([("a/b.jpg", "c.jpg"), ("c.jpg", "a-b.jpg")])


def test_an_index_below_zero_is_refused(tmp_path: Path) -> None:
    with (
        MatchStore(tmp_path / "m.h5", RECIPE) as store,
        pytest.raises(InputError, match="use keypoint -1 of the first image, which has 5"),
    ):
        store.put(("a", "b"), matches([[-1, 0]]), 5)
