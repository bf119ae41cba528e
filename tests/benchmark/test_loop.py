"""A whole evaluation: what it leaves behind, and what it does not do twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest

from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import Method, stored_methods
from dift_geo.benchmark.results import tables_of_groups
from dift_geo.benchmark.rows import read_rows
from dift_geo.benchmark.run import evaluate
from dift_geo.benchmark.table import ScoreTable
from dift_geo.matching.options import MatchOptions
from tests.benchmark.rendered import rootsift


def test_results_hold_what_the_readme_promises(run):
    report, out = run
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"] == "dift"
    assert results["pairs"] == 10
    assert {"recipe", "versions", "command", "methods", "differences", "problems"} <= set(results)
    assert results["versions"]["torch"]
    for name in ("rootsift", "few"):
        method = results["methods"][name]
        assert set(method) == {"all", "i", "v", "intervals", "sequences"}
        for group in ("all", "i", "v"):
            for metric in (
                "acc@1",
                "acc@3",
                "acc@5",
                "mma@3",
                "matches",
                "correct@3",
                "auc@1",
                "auc@5",
            ):
                assert isinstance(method[group][metric], float)
        assert set(method["sequences"]) == {"i_lamp", "v_wall"}
        low, high = method["intervals"]["all"]["acc@3"]
        assert low <= method["all"]["acc@3"] <= high
        assert method["intervals"]["i"]["acc@3"] is None  # one sequence
    good = results["methods"]["rootsift"]["all"]
    assert good["acc@5"] > 0.8
    assert good["mma@3"] > 0.7
    gap = results["differences"]["few - rootsift"]["all"]["matches"]
    assert gap["difference"] == pytest.approx(
        results["methods"]["few"]["all"]["matches"] - good["matches"]
    )
    assert gap["interval"][1] < 0
    assert "| few |" in (out / "results.md").read_text()
    assert report.results["methods"] == results["methods"]


def test_the_overall_mean_counts_pairs_once(run):
    report, _ = run
    method = report.results["methods"]["rootsift"]
    assert method["all"]["mma@3"] == pytest.approx(
        (method["i"]["mma@3"] + method["v"]["mma@3"]) / 2
    )


def test_rows_on_disk_are_enough_to_recompute(run):
    report, out = run
    again = read_rows(out / "pairs.csv", report.layout)
    assert list(again) == ["rootsift", "few"]
    first = report.tables["rootsift"]
    assert ScoreTable(again["rootsift"], first.measures).summary() == first.summary()
    with (out / "pairs.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + 2 * 10


def test_pictures_are_drawn(run):
    _, out = run
    for name in ("mma.png", "accuracy.png", "sequences.png"):
        assert cv2.imread(str(out / "pictures" / name)) is not None
    assert len(list((out / "pictures" / "rootsift").glob("best1_*.png"))) == 1
    assert len(list((out / "pictures" / "rootsift").glob("worst1_*.png"))) == 1
    report, _ = run
    listed = json.loads((out / "pictures" / "gallery.json").read_text())["pictures"]
    assert [(one["method"], one["which"]) for one in listed] == [
        ("rootsift", "best"),
        ("rootsift", "worst"),
        ("few", "best"),
        ("few", "worst"),
    ]
    for one in listed:
        assert (out / "pictures" / one["file"]).is_file()
        rows = {row.place: row for row in report.tables[one["method"]].rows}
        row = rows[one["group"], one["item"]]
        assert one["values"]["matches"] == str(row.values["matches"])


class Refuses:
    """An extractor with the recipe of another that must not be asked for features."""

    def __init__(self, like):
        self.like = like

    def extract(self, image, name):
        raise AssertionError("features were cached")

    def recipe(self):
        return self.like.recipe()


def test_second_run_extracts_and_matches_nothing(run, rendered, tmp_path):
    report, out = run
    again = evaluate(
        read_benchmark(rendered),
        tmp_path,
        [Method("rootsift", Refuses(rootsift()))],
        protocol_named("dift"),
        cache=out / "cache",
        draws=60,
        pictures=0,
    )
    assert again.results["methods"]["rootsift"] == report.results["methods"]["rootsift"]


def test_method_names_must_differ(rendered, tmp_path):
    with pytest.raises(ValueError, match="different names"):
        evaluate(
            read_benchmark(rendered), tmp_path, [Method("a", rootsift())] * 2, protocol_named("mma")
        )
    with pytest.raises(ValueError, match="expected letters"):
        Method("a/b", rootsift())


def test_what_would_fail_after_the_work_is_refused_before_it(rendered, tmp_path):
    """Of 0.1: `--bootstrap 0` and unknown groups were found out when all was scored."""
    methods = [Method("a", Refuses(rootsift()))]
    benchmark, protocol = read_benchmark(rendered), protocol_named("mma")
    with pytest.raises(ValueError, match="resamples is 0, expected at least 1"):
        evaluate(benchmark, tmp_path, methods, protocol, draws=0)
    for name, members in (("mine", ["v_zoo"]), ("all", ["v_wall"]), ("sequences", ["v_wall"])):
        with pytest.raises(ValueError, match="cannot hold"):
            evaluate(benchmark, tmp_path, methods, protocol, groups={name: members})
    assert not list(tmp_path.iterdir())


def test_tables_of_groups():
    own = {"i": ["i_dc"], "v": ["v_wall"], "x": []}
    groups = tables_of_groups(["i_dc", "v_wall", "wall"], own, {"mine": ["wall"]})
    assert groups == {
        "all": ["i_dc", "v_wall", "wall"],
        "i": ["i_dc"],
        "v": ["v_wall"],
        "mine": ["wall"],
    }
    with pytest.raises(ValueError, match="cannot hold"):
        tables_of_groups(["v_wall"], {}, {"mine": ["v_bark"]})
    with pytest.raises(ValueError, match="reserved"):
        tables_of_groups(["v_wall"], {}, {"all": ["v_wall"]})


def test_a_method_takes_all_options_of_the_matching_or_two_of_them(rendered, tmp_path):
    extractor, matching = rootsift(max_keypoints=40), MatchOptions(ratio=0.9)
    two = [Method("old", extractor, ratio=0.9), Method("new", extractor, matching=matching)]
    found = evaluate(
        read_benchmark(rendered, sequences=["i_*"]),
        tmp_path,
        two,
        protocol_named("mma"),
        draws=5,
        pictures=0,
    )
    assert found.tables["old"].summary() == found.tables["new"].summary()
    with pytest.raises(ValueError, match="expected one of them"):
        Method("both", extractor, ratio=0.9, matching=matching)


def test_a_run_draws_the_least_it_can_without_a_plotting_library(
    run, monkeypatch, tmp_path, caplog
):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    _, out = run
    methods = stored_methods(out)[:1]
    root = Path(json.loads((out / "results.json").read_text())["dataset"])
    evaluate(read_benchmark(root), tmp_path, methods, protocol_named("dift"), draws=5, pictures=1)
    assert "no pictures: they need matplotlib" in caplog.text
    assert (tmp_path / "results.md").is_file()
    assert not (tmp_path / "pictures").exists()
