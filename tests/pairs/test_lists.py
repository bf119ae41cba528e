"""Pair lists, and the files that hold them."""

from __future__ import annotations

import logging
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.pairs.lists import (
    exhaustive_pairs,
    read_pairs,
    sequential_pairs,
    unique_pairs,
    write_pairs,
)


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


def test_numbers_in_names_count_as_numbers():
    names = sorted(f"frame{i}.jpg" for i in range(1, 13))
    assert names[1] == "frame10.jpg"
    frames = [f"frame{i}.jpg" for i in range(1, 13)]
    assert sequential_pairs(names, 1) == list(pairwise(frames))
    odd = ["1/b2-10.png", "1/b2-9.png", "b.png", "01.png", "1.png", "2.png", "\u0662.png", "\xb2"]
    assert sequential_pairs(odd, 1)[0] == ("1/b2-9.png", "1/b2-10.png")
    assert len(sequential_pairs(odd, 1)) == 6


def test_each_pair_once_and_no_image_with_itself():
    assert unique_pairs([("a", "b"), ("c", "c"), ("b", "a"), ("b", "c"), ("a", "b")]) == [
        ("a", "b"),
        ("b", "c"),
    ]


NAMES = st.text(
    st.one_of(
        st.sampled_from(list(" #\"'.,;/\\0123-ab\x85\xa0\u2028\u3000")),
        st.characters(exclude_categories=("Cs", "Cc")),
    ),
    min_size=1,
    max_size=8,
)


@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_what_is_written_is_read(tmp_path_factory, names):
    """Whatever list_images lets through."""
    path = tmp_path_factory.mktemp("written") / "pairs.txt"
    pairs = exhaustive_pairs(names)
    write_pairs(path, pairs)
    assert read_pairs(path, names) == pairs


KNOWN = ["a.jpg", "sub/b.jpg", "my c.jpg"]
EXPECTED = [("a.jpg", "sub/b.jpg"), ("my c.jpg", "a.jpg")]
PLAIN = "a.jpg sub/b.jpg\nmy c.jpg a.jpg\n"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        b"./a.jpg ./sub/b.jpg\n./my c.jpg a.jpg",
        b".\\a.jpg sub\\b.jpg\nmy c.jpg a.jpg",
        b"a.jpg sub/b.jpg 0.93\nmy c.jpg\ta.jpg\t12 1e-3\n",
        b"a.jpg,sub/b.jpg,0.5\nmy c.jpg;a.jpg\n",
        b"a.jpg  sub/b.jpg  # the first\n  my c.jpg   a.jpg  \n # and no more\n",
        b'"a.jpg" "sub/b.jpg"\n"my c.jpg" \'a.jpg\' 0.5\n',
        b"a.jpg\tsub/b.jpg\nmy c.jpg\t a.jpg\n",
        b"# 2 pairs\n\n#a.jpg a.jpg\na.jpg sub/b.jpg\nmy c.jpg a.jpg\n\n",
    ],
)
def test_reads_what_people_and_programs_write(tmp_path, data):
    (tmp_path / "pairs.txt").write_bytes(data)
    assert read_pairs(tmp_path / "pairs.txt", KNOWN) == EXPECTED


def test_names_that_begin_with_a_hash_are_names(tmp_path):
    names = ["#1.jpg", "# 2.jpg", " 3.jpg"]
    (tmp_path / "pairs.txt").write_text("#1.jpg # 2.jpg\n# 3 pairs\n#1.jpg\t 3.jpg\n")
    assert read_pairs(tmp_path / "pairs.txt", names) == [(names[0], names[1]), (names[0], names[2])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pairs.txt holds no pair of images, expected lines `name0 name1`"),
        ("# nothing\n\n", "pairs.txt holds no pair of images"),
        ("a.jpg a.jpg\n", "pairs.txt holds no pair of images"),
        ("a.jpg\n", "pairs.txt:1: 'a.jpg' expected `name0 name1` of the 3 known images"),
        ("a.jpg sub/b.jpg\na.jpg b.jpg\n", "txt:2: .*known images; 'b.jpg' may be 'sub/b.jpg'"),
        ("images/a.jpg sub/b.jpg\n", "'images/a.jpg' may be 'a.jpg'"),
        ("A.JPG sub/b.jpg\n", "'A.JPG' may be 'a.jpg'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, message):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_pairs(tmp_path / "pairs.txt", KNOWN)


def test_a_line_that_fits_twice_is_refused(tmp_path):
    names = ["a", "a b", "b c", "c"]
    (tmp_path / "pairs.txt").write_text("a b c\n")
    with pytest.raises(ValueError, match="fits known images in 2 ways; put a tab between"):
        read_pairs(tmp_path / "pairs.txt", names)
    (tmp_path / "pairs.txt").write_text("a b\tc\n")
    assert read_pairs(tmp_path / "pairs.txt", names) == [("a b", "c")]


def test_what_is_no_text_is_told(tmp_path):
    for data in (b"\xff\x00\x12", "a.jpg b.jpg".encode("utf-16-le"), b"\xe4.jpg b.jpg"):
        (tmp_path / "pairs.txt").write_bytes(data)
        with pytest.raises(ValueError, match=r"pairs.txt is no text in UTF-8 .*; save it as UTF-8"):
            read_pairs(tmp_path / "pairs.txt", KNOWN)


def test_pairs_of_images_that_cannot_be_read_are_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "pairs.txt").write_text("a.jpg bad.jpg\na.jpg sub/b.jpg\nbad.jpg sub/b.jpg\n")
    with caplog.at_level(logging.WARNING):
        pairs = read_pairs(tmp_path / "pairs.txt", KNOWN, left_out=["bad.jpg"])
    assert pairs == [("a.jpg", "sub/b.jpg")]
    (record,) = caplog.records
    assert re.search(r"pairs.txt: 2 of 3 pairs name images that cannot be read", record.message)
    with pytest.raises(ValueError, match="expected `name0 name1`"):
        read_pairs(tmp_path / "pairs.txt", KNOWN)


def test_a_list_is_written_whole_or_not_at_all(tmp_path):
    write_pairs(tmp_path / "pairs.txt", [("a", "b")])

    def broken():
        yield "c", "d"
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_pairs(tmp_path / "pairs.txt", broken())
    assert (tmp_path / "pairs.txt").read_text() == "a b\n"
    with pytest.raises(OSError, match="cannot be written"):
        write_pairs(tmp_path / "nowhere" / "pairs.txt", [("a", "b")])
