"""The speed benchmark of Stable Diffusion, on a small architecture."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT


def test_the_speed_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a small architecture; its reference is written independently, so this is one more equality
    test.
    """
    # as if run as a script, whose folder is searched first
    monkeypatch.syspath_prepend(ROOT / "pipelines" / "bench")
    spec = importlib.util.spec_from_file_location(
        "bench_sd", ROOT / "pipelines" / "bench" / "sd.py"
    )
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)

    # not in processes of their own: each would import torch anew
    def here(command: list[str], check: bool) -> None:
        monkeypatch.setattr(sys, "argv", command[1:])
        bench.main()

    monkeypatch.setattr(bench.subprocess, "run", here)
    threads = torch.get_num_threads()
    flags = [
        "--architecture",
        "small",
        "--size",
        "64",
        "--ensemble",
        "2",
        "--threads",
        str(threads),
    ]
    monkeypatch.setattr(sys, "argv", ["sd.py", str(tmp_path), *flags])
    bench.main()
    steps = json.loads((tmp_path / "results.json").read_text())["steps"]
    for step in ("encode-once", "drop-text", "one-by-one"):
        assert steps[step]["difference"] < 1e-4
    assert steps["default"]["shape"] == [1, 64, 8, 8]
    assert steps["released"]["times_faster"] == 1
    assert "| one-by-one |" in capsys.readouterr().out
