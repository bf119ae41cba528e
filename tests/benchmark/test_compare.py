"""Finished runs side by side."""

from __future__ import annotations

import json
import shutil

import pytest

from dift_geo.benchmark.compare import compare_runs
from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import Method, stored_methods
from dift_geo.benchmark.run import evaluate
from tests.benchmark.rendered import rootsift


def test_runs_side_by_side(run, rendered, tmp_path):
    report, out = run
    methods = [Method("rootsift", rootsift(max_keypoints=60))]
    other = evaluate(
        read_benchmark(rendered),
        tmp_path / "other",
        methods,
        protocol_named("dift"),
        draws=60,
        pictures=0,
    )
    both = compare_runs([out, tmp_path / "other"])
    assert list(both.tables) == ["out/rootsift", "few", "other/rootsift"]
    names = both.results["methods"]
    assert names["out/rootsift"]["all"] == report.results["methods"]["rootsift"]["all"]
    assert names["other/rootsift"]["all"] == other.results["methods"]["rootsift"]["all"]
    assert "other/rootsift - out/rootsift" in both.results["differences"]
    assert both.markdown().count("| other/rootsift |") == 3  # all, i, v
    shutil.copytree(tmp_path / "other", tmp_path / "loftr")
    path = tmp_path / "loftr" / "results.json"
    path.write_text(path.read_text().replace('"protocol": "dift"', '"protocol": "loftr"'))
    with pytest.raises(ValueError, match="different protocols"):
        compare_runs([out, tmp_path / "loftr"])
    with pytest.raises(FileNotFoundError, match="no results"):
        compare_runs([out, tmp_path / "none"])


def test_only_what_all_scored_is_compared(run, rendered, tmp_path):
    report, out = run
    evaluate(
        read_benchmark(rendered, sequences=["v_*"]),
        tmp_path / "part",
        stored_methods(out)[:1],
        protocol_named("dift"),
        draws=60,
        pictures=0,
    )
    both = compare_runs([out, tmp_path / "part"])
    assert both.results["pairs"] == 5
    assert both.groups == {"all": ["v_wall"], "v": ["v_wall"]}
    assert both.results["methods"]["few"]["all"] == report.results["methods"]["few"]["v"]


def test_a_comparison_can_be_saved_and_compared_again(run, tmp_path):
    report, out = run
    shutil.copytree(out, tmp_path / "again")
    compare_runs([out, tmp_path / "again"]).save(tmp_path / "both")
    alone = compare_runs([tmp_path / "both"])
    assert list(alone.tables) == [
        f"{run}/{method}" for run in ("out", "again") for method in ("rootsift", "few")
    ]
    numbers = alone.results["methods"]["out/few"]
    assert numbers["all"] == report.results["methods"]["few"]["all"]
    lines = (tmp_path / "both" / "pairs.csv").read_text().splitlines()
    assert lines[1] == "out/" + (out / "pairs.csv").read_text().splitlines()[1]


def test_says_which_results_cannot_be_compared(run, tmp_path):
    _, out = run

    def changed(name, **changes):
        shutil.copytree(out, tmp_path / name)
        path = tmp_path / name / "results.json"
        results = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in results.items() if v is not None}))
        return tmp_path / name

    with pytest.raises(ValueError, match=r"as those of version 0\.1; run the evaluation again"):
        compare_runs([out, changed("old", measures=None)])
    with pytest.raises(ValueError, match="define their numbers differently"):
        compare_runs([out, changed("other", measures={})])
    bare = changed("bare")
    (bare / "pairs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="begins with the columns a, b, expected method, sequence"):
        compare_runs([out, bare])
    header, first, *_ = (out / "pairs.csv").read_text().splitlines()
    for line, message in ((first + ",1", "a line of"), (first[:-3] + "x", "holds no number")):
        (bare / "pairs.csv").write_text(f"{header}\n{line}\n")
        with pytest.raises(ValueError, match=message):
            compare_runs([out, bare])
    (bare / "pairs.csv").write_text(f"{header}\n{first.replace(',2,', ',7,', 1)}\n")
    with pytest.raises(ValueError, match="have no pair in common"):
        compare_runs([out, bare])
    (bare / "pairs.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*pairs\.csv"):
        compare_runs([out, bare])
