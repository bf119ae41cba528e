"""The words of --how."""

from __future__ import annotations

from pathlib import Path

import pytest

from dift_geo.errors import InputError
from dift_geo.pairs.words import How, parse_how


def test_what_words_mean() -> None:
    words = ["retrieval:20", "spatial", "sequential", "exhaustive", "file:a:b.txt", "poses:007"]
    assert parse_how(words) == [
        How("retrieval", 20),
        How("spatial", 20),
        How("sequential", 10),
        How("exhaustive"),
        How("file", path=Path("a:b.txt")),
        How("poses", 7),
    ]
    assert parse_how([]) == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nearest:20", r"'nearest:20' is no way to choose pairs, expected one of exhaustive, seq"),
        ("Retrieval:20", "is no way"),
        ("", "is no way"),
        ("retrieval:x", r"'retrieval:x': expected retrieval:N with a whole number N from 1"),
        ("retrieval:0", "from 1"),
        ("retrieval:-3", "from 1"),
        ("retrieval:2.5", "from 1"),
        ("retrieval:", "from 1"),
        ("retrieval:²", "from 1"),
        ("exhaustive:5", "has a number, expected exhaustive"),
        ("file", "names no file, expected file:PATH"),
        ("file:", "names no file"),
    ],
)
def test_what_words_do_not_mean(word, said) -> None:
    with pytest.raises(InputError, match=said):
        parse_how([word])
