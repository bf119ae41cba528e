"""Pairs by a word, a file, or what a matches file holds."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.pairs.choose import choose_pairs, stored_pairs
from dift_geo.pairs.lists import exhaustive_pairs, sequential_pairs, write_pairs
from dift_geo.store.matches import MatchStore
from dift_geo.types import Matches

NAMES = ["a/1.png", "a/2.png", "a/3.png", "b 4.png"]


def test_words_and_files(tmp_path):
    assert choose_pairs(NAMES) == exhaustive_pairs(NAMES)
    assert choose_pairs(NAMES, "sequential", 1) == sequential_pairs(NAMES, 1)
    pairs = [("a/3.png", "b 4.png"), ("a/1.png", "a/2.png")]
    write_pairs(tmp_path / "pairs.txt", pairs)
    assert choose_pairs(NAMES, str(tmp_path / "pairs.txt")) == pairs
    with pytest.raises(FileNotFoundError, match="no pairs file at random"):
        choose_pairs(NAMES, "random")


def matches_file(path, pairs):
    with MatchStore(path, {}) as store:
        for pair in pairs:
            store.put(pair, Matches(np.array([[0, 1]]), np.ones(1)), 2)
        store.merge()


def test_stored_pairs_come_by_their_true_names(tmp_path):
    pairs = [("a/1.png", "a/3.png"), ("a/1.png", "b 4.png")]
    matches_file(tmp_path / "m.h5", pairs)
    assert stored_pairs(NAMES, tmp_path / "m.h5") == pairs
    matches_file(tmp_path / "none.h5", [])
    assert stored_pairs(NAMES, tmp_path / "none.h5") == []


def test_a_file_of_another_program_has_dashes_for_slashes(tmp_path):
    """hloc's own layout, which leaves nothing but the names of groups."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "hloc.h5", "w") as file:
        group = file.create_group("a-1.png/b 4.png")
        group.create_dataset("matches0", data=np.array([1, -1], np.int16))
        group.create_dataset("matching_scores0", data=np.ones(2, np.float16))
    assert stored_pairs(NAMES, tmp_path / "hloc.h5") == [("a/1.png", "b 4.png")]


def test_matches_of_other_features_are_refused(tmp_path):
    matches_file(tmp_path / "m.h5", [("a/1.png", "c/5.png")])
    with pytest.raises(
        ValueError, match=r"matches 'c/5.png', which has no features; the two files"
    ):
        stored_pairs(NAMES, tmp_path / "m.h5")


def test_a_file_that_holds_both_orders_gives_each_pair_once(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "hloc.h5", "w") as file:
        for group in ("a-1.png/a-2.png", "a-2.png/a-1.png", "a-1.png/b 4.png"):
            file[f"{group}/matches0"] = np.array([1, -1], np.int16)
            file[f"{group}/matching_scores0"] = np.ones(2, np.float16)
    pairs = [("a/1.png", "a/2.png"), ("a/1.png", "b 4.png")]
    assert stored_pairs(NAMES, tmp_path / "hloc.h5") == pairs


def test_names_that_share_a_place_in_hlocs_files_are_told_apart_in_ours(tmp_path):
    names = ["a/1.png", "a-1.png", "b.png"]
    matches_file(tmp_path / "m.h5", [("a-1.png", "b.png")])
    assert stored_pairs(names, tmp_path / "m.h5") == [("a-1.png", "b.png")]
    with pytest.raises(ValueError, match=r"matches 'a-1.png', which has no features"):
        stored_pairs(["a/1.png", "a/1.png", "b.png"], tmp_path / "m.h5")
