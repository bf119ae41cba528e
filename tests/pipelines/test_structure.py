"""The program that counts long functions, nested comprehensions and the like."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPT = ROOT / "pipelines" / "bench" / "structure.py"
CODE = '''"""A module."""
from typing import Any
import typing

def short(x: Any) -> "typing.Any":
    plain = [i for i in x]
    pairs = [(i, j) for i in x for j in x]
    inside = {i: sum(j for j in i) for i in x}
    return plain, pairs, inside

class Thing:
    def method(self) -> typing.Any:
        wide = "%s"
'''


@pytest.fixture
def checkout(tmp_path):
    package = tmp_path / "dift_geo"
    (package / "folder").mkdir(parents=True)
    (package / "module.py").write_text(CODE % ("x" * 100))
    (package / "folder" / "long.py").write_text("def long():\n" + "    pass\n" * 300)
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def test_counts_by_hand(checkout) -> None:
    done = run(str(checkout), "--places")
    assert done.returncode == 0, done.stderr
    for row in (
        "| lines | 314 |",
        "| files over 300 lines | 1 |",
        "| functions | 3 |",
        "| functions over 60 lines | 1 |",
        "| nested comprehensions | 2 |",
        "| nested comprehensions per 1000 lines | 6.4 |",
        "| `Any` | 2 |",
        "| lines of more than 100 characters | 1 |",
        "| `.` | 13 |",
        "| `folder/` | 301 |",
    ):
        assert row in done.stdout
    assert "folder/long.py:1 long" in done.stdout


def test_two_checkouts_stand_side_by_side(checkout) -> None:
    done = run(str(checkout), str(ROOT))
    assert done.returncode == 0, done.stderr
    assert f"| | {checkout} | {ROOT} |" in done.stdout


def test_a_folder_without_code_is_told(tmp_path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"no Python files below {tmp_path / 'dift_geo'}\n"
