"""Rendered sequences and one finished run on them, shared by the tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import Method
from dift_geo.benchmark.run import evaluate
from tests.benchmark.rendered import render, rootsift


@pytest.fixture(scope="session")
def rendered(tmp_path_factory, texture) -> Path:
    """Two sequences that tests only read."""
    return render(tmp_path_factory.mktemp("benchmark") / "hp", texture)


@pytest.fixture(scope="session")
def run(rendered, tmp_path_factory):
    """One finished run with two methods, shared by the tests that read it: (evaluation, OUT)."""
    out = tmp_path_factory.mktemp("run") / "out"
    methods = [Method("rootsift", rootsift()), Method("few", rootsift(max_keypoints=40), ratio=0.9)]
    return evaluate(
        read_benchmark(rendered), out, methods, protocol_named("dift"), draws=60, pictures=1
    ), out
