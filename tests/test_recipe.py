"""Recipes: compared, hashed and written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.errors import WriteError
from dift_geo.recipe import (
    as_json,
    differences,
    fingerprint,
    installed_versions,
    package_version,
    write_json,
    write_whole,
)

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
RECIPES = st.dictionaries(
    st.text(max_size=5), st.recursive(LEAVES, lambda x: st.lists(x) | st.tuples(x, x), max_leaves=4)
)


@given(RECIPES)
def test_a_recipe_equals_itself_out_of_a_file(recipe) -> None:
    plain = as_json(recipe)
    assert plain == json.loads(json.dumps(recipe))
    assert as_json(plain) == plain
    assert fingerprint(recipe) == fingerprint(plain)
    assert list(differences(plain, plain)) == []


def test_the_order_of_keys_does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({"a": 1}, 10)) == 10


def test_differences_name_the_leaf() -> None:
    found = {"detector": {"name": "sift", "limit": 100}, "size": 640}
    wanted = {"detector": {"name": "sift", "limit": 200}, "seed": 0}
    assert list(differences(found, wanted)) == [
        "detector.limit is 100, expected 200",
        "seed is None, expected 0",
        "size is 640, expected None",
    ]


def test_versions_of_what_is_installed() -> None:
    found = installed_versions(["numpy", "no-such-package-at-all"])
    assert set(found) == {"python", "machine", "numpy"}
    assert package_version("no-such-package-at-all") == "none"
    assert package_version("dift-geo")[0].isdigit()


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None]})
    assert json.loads(path.read_text()) == {"b": [1, 2.5, None]}
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"b": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"b": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path) -> None:
    with pytest.raises(WriteError, match=r"nowhere/a\.json cannot be written: No such file"):
        write_json(tmp_path / "nowhere" / "a.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="cannot be written"):
        write_whole(tmp_path / "folder", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
