"""The program that damages files of every kind and names images strangely, a few of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "pipelines" / "bench" / "fuzz.py"
KINDS = [
    *("images", "pairs", "projections", "databases", "weights", "intrinsics", "cameras"),
    *("homographies", "keypoint lists", "arrays", "markers", "names"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_damaged_files_are_right_or_one_line(tmp_path: Path) -> None:
    words = ["--images", "12", "--others", "3", "--names", "1", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words, "--out", str(tmp_path / "out")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^([a-z ]+): \{", done.stdout, re.M) == [*KINDS, "all"]
    assert "'wrong'" not in done.stdout
    assert "'refused'" in done.stdout
