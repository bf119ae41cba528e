"""What commands say when they are done: a table for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_readme import commands

from dift_geo.cli.closing import close

FACTS = {"images": 3, "features": Path("f.h5"), "matches": None}


def test_a_table_for_people(capsys) -> None:
    close(FACTS, False)
    assert capsys.readouterr().out == "images    3\nfeatures  f.h5\n"
    close(FACTS, False, {"read": "3 of 4", "none": None})
    assert capsys.readouterr().out == "read  3 of 4\n"
    close({}, False)
    assert capsys.readouterr().out == ""


def test_json_for_programs(capsys) -> None:
    close(FACTS, True, {"read": "3 of 4"})
    assert json.loads(capsys.readouterr().out) == {**FACTS, "features": "f.h5"}


@pytest.mark.parametrize("name", sorted(set(commands()) - {"explore"}))  # it serves until Ctrl-C
def test_every_command_speaks_to_programs(name) -> None:
    assert "--json" in commands()[name]._option_string_actions


def test_nothing_but_json_is_printed(photos, tmp_path, command) -> None:
    done = command("pairs", photos, tmp_path / "pairs.txt", "--json")
    found = {"images": 5, "pairs": 10, "list": str(tmp_path / "pairs.txt")}
    assert (done.code, json.loads(done.out), done.err) == (0, found, "")


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_fits_a_screen_for_each_group(name) -> None:
    groups = commands()[name].format_help().split("\n\n")
    assert max(len(group.splitlines()) for group in groups) <= 24
