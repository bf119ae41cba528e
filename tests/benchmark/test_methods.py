"""Stores of an earlier run as methods."""

from __future__ import annotations

import json

import pytest

from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import stored_methods
from dift_geo.benchmark.run import evaluate
from dift_geo.errors import InputError


def test_stores_alone_are_enough_for_another_estimator(run, tmp_path, rendered):
    report, out = run
    methods = stored_methods(out)
    assert [method.name for method in methods] == ["rootsift", "few"]
    protocol = protocol_named("dift").with_estimator("magsac")
    again = evaluate(read_benchmark(rendered), tmp_path, methods, protocol, draws=20, pictures=0)
    own, old = (r.results["methods"]["rootsift"]["all"] for r in (again, report))
    assert own["mma@3"] == old["mma@3"]
    assert again.results["recipe"]["protocol"]["ransac"]["estimator"] == "magsac"
    with pytest.raises(ValueError, match="short side unchanged, protocol loftr expects 480"):
        evaluate(read_benchmark(rendered), tmp_path, methods, protocol_named("loftr"))
    with pytest.raises(FileNotFoundError, match="--cached needs"):
        stored_methods(tmp_path / "none")


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"recipe": []},
        {"recipe": {"methods": ["a"]}},
        {"recipe": {"methods": {"a": 3}}},
        {"recipe": {"methods": {"a": {"stores": ["one.h5"]}}}},
        {"recipe": {"methods": {"a": {"stores": [1, 2]}}}},
    ],
)
def test_results_of_another_shape_are_told(tmp_path, damaged) -> None:
    (tmp_path / "results.json").write_text(json.dumps(damaged))
    with pytest.raises(InputError, match=r"results.json does not say which stores its methods"):
        stored_methods(tmp_path)
