"""The program that damages files of every kind and names images strangely, a few of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "pipelines" / "bench" / "fuzz.py"
TEXTS = ["pairs", "intrinsics", "cameras", "homographies", "keypoint lists", "arrays", "markers"]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
@pytest.mark.parametrize(
    ("kinds", "trials"),
    [(["images"], 110), (TEXTS, 25), (["projections", "databases", "weights"], 25), (["names"], 3)],
    ids=lambda value: str(value) if isinstance(value, int) else value[0],
)
def test_damaged_files_are_right_or_one_line(kinds: list[str], trials: int, tmp_path: Path) -> None:
    words = ["--images", str(trials), "--others", str(trials), "--seed", "1"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words, "--only", *kinds, "--out", str(tmp_path / "out")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'wrong'" not in done.stdout
    assert "'refused'" in done.stdout
