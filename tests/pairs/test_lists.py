"""Pair lists, and the files that hold them."""

from __future__ import annotations

import pytest

from dift_geo.pairs.lists import exhaustive_pairs, read_pairs, sequential_pairs, write_pairs


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_exhaustive_is_every_pair_once(n):
    names = [f"{i}.jpg" for i in range(n)]
    pairs = exhaustive_pairs(names)
    assert len(pairs) == n * (n - 1) // 2
    assert {frozenset(pair) for pair in pairs} == {
        frozenset((a, b)) for a in names for b in names if a != b
    }


def test_sequential_stays_within_a_folder():
    names = ["a/1", "a/2", "a/3", "a/4", "b/1", "b/2"]
    of_a = ["a/1 a/2", "a/1 a/3", "a/2 a/3", "a/2 a/4", "a/3 a/4"]
    expected = [tuple(line.split()) for line in [*of_a, "b/1 b/2"]]
    assert sequential_pairs(names, 2) == expected
    assert sequential_pairs(names[:4], 99) == exhaustive_pairs(names[:4])
    with pytest.raises(ValueError, match="overlap is 0, expected at least 1"):
        sequential_pairs(names, 0)


def test_file_round_trip_with_spaces_and_unicode(tmp_path):
    pairs = [("a.jpg", "b.jpg"), ("my photo 1.jpg", "b.jpg"), ("übung/ö.jpg", "my photo 1.jpg")]
    write_pairs(tmp_path / "pairs.txt", pairs)
    assert read_pairs(tmp_path / "pairs.txt", {name for pair in pairs for name in pair}) == pairs


def test_reads_what_others_wrote(tmp_path):
    """Spaces without a tab, repeats in either order, self pairs, comments."""
    (tmp_path / "pairs.txt").write_text("# pairs\n\nmy a.jpg b.jpg\nb.jpg my a.jpg\nb.jpg b.jpg\n")
    assert read_pairs(tmp_path / "pairs.txt", ["my a.jpg", "b.jpg"]) == [("my a.jpg", "b.jpg")]


def test_unknown_names_and_missing_files_are_told(tmp_path):
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg\na.jpg c.jpg\n")
    with pytest.raises(ValueError, match=r"pairs.txt:2: 'a.jpg c.jpg'.*of the 2 known images"):
        read_pairs(tmp_path / "pairs.txt", ["a.jpg", "b.jpg"])
    with pytest.raises(FileNotFoundError, match="dift-geo pairs"):
        read_pairs(tmp_path / "none.txt", [])
