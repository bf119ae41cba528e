"""The program that kills runs and damages stores, with a few of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "pipelines" / "bench" / "faults.py"


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize(("what", "trials", "views"), [("kills", 3, 3), ("damage", 9, 3)])
def test_nothing_is_lost_done_twice_or_believed_though_damaged(
    what: str, trials: int, views: int, tmp_path: Path
) -> None:
    words = [what, "--trials", str(trials), "--views", str(views), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert "PROBLEM" not in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("finished when killed" if what == "kills" else "refused in one line") in done.stdout
