"""JSON out of files, as it should be and as it should not."""

from __future__ import annotations

import json

import pytest

from dift_geo.errors import InputError
from dift_geo.jsonfiles import parse_json, read_json


def test_json_is_read_as_it_was_written(tmp_path) -> None:
    path, plain = tmp_path / "x.json", {"a": [1, 2.5, None, True], "ä": {"b": "c"}}
    path.write_text(json.dumps(plain))
    assert read_json(path, "") == parse_json(path.read_bytes()) == plain


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, b"\xff\xfe\xff"])
def test_text_that_is_no_json_is_one_kind_of_error(text) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, r"x.json is damaged \(it is nested too deeply\); copy it"),
        (b"\xff", r"x.json is damaged \(.*decode.*\); copy it"),
        (b"", r"x.json is damaged \(Expecting value.*\); copy it"),
        (b"[1]", r"x.json holds list, expected values by name; copy it"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, data, message) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "x.json", "copy it")
