"""`dift-geo evaluate` and `dift-geo compare`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.benchmark.rendered import render

QUICK = ["--descriptor", "rootsift", "--max-keypoints", 40, "--pictures", 0, "--bootstrap", 5]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, texture) -> Path:
    """Two sequences in HPatches layout that tests only read."""
    return render(tmp_path_factory.mktemp("evaluate") / "hp", texture)


def test_evaluates_methods_and_compares_runs(command, dataset, tmp_path):
    words = ["evaluate", dataset, tmp_path / "a", "--protocol", "mma", "--max-keypoints", 80]
    words += ["--bootstrap", 20, "--pictures", 0, "--group", "both=i_lamp,v_wall"]
    words += ["--method", "s:descriptor=rootsift"]
    words += ["--method", "few:descriptor=rootsift,max-keypoints=30"]
    assert command(*words).code == 0
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert list(results["methods"]) == ["s", "few"]
    assert results["command"].startswith("dift-geo evaluate ")
    assert results["methods"]["s"]["both"] == results["methods"]["s"]["all"]
    cached = ["evaluate", dataset, tmp_path / "a", "--protocol", "mma", "--cached", "--pictures", 0]
    assert command(*cached).code == 0
    again = command("compare", tmp_path / "a", tmp_path / "a")
    assert again.code == 1
    assert "cannot be told apart" in again.err
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    both = command("compare", tmp_path / "a", tmp_path / "b", "--to", tmp_path / "both")
    assert both.code == 0
    assert "b/few" in both.out
    assert (tmp_path / "both" / "results.md").read_text() in both.out


def test_takes_its_one_method_from_the_flags(command, dataset, tmp_path):
    words = ["evaluate", dataset, tmp_path, *QUICK, "--device", "auto", "--sequences", "i_*"]
    done = command(*words, "--report", "--json")
    assert done.code == 0
    assert json.loads(done.out)["page"] == str(tmp_path / "report.html")
    assert json.loads(done.out)["pairs"] == 5
    assert (tmp_path / "report.html").is_file()
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["methods"]) == ["rootsift"]
    assert results["recipe"]["methods"]["rootsift"]["features"]["size"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{hp}/none", "{out}"], "not a folder"),
        (["{hp}", "{out}", "--sequences", "v_zoo"], "no sequence 'v_zoo'"),
        (["{hp}", "{out}", "--method", "a:colour=red"], "expected flag=value"),
        (["{hp}", "{out}", "--features", "x"], "expected NAME=VALUE"),
        (["{hp}", "{out}", "--features", "x=/none.h5"], "no features at"),
        (
            ["{hp}", "{out}", "--features", "x={hp}", "--matches", "y=/none.h5"],
            "which no --features names",
        ),
        (
            ["{hp}", "{out}", "--descriptor", "rootsift", "--max-error", "-1"],
            "expected a positive number",
        ),
        (["{hp}", "{out}", "--cached"], "--cached needs"),
        (["{hp}", "{out}", "--bootstrap", "0"], "resamples is 0, expected at least 1"),
        (["{hp}", "{out}", "--group", "all=v_wall"], "cannot hold"),
        (["{hp}", "{out}", "--keypoints", "{hp}"], "use --reading dense"),
        (["{hp}", "{out}", "--reading", "dense", "--keypoints", "{hp}"], "holds no .kp file"),
    ],
)
def test_says_in_one_line_what_it_cannot_do(command, dataset, tmp_path, words, message):
    done = command("evaluate", *(word.format(hp=dataset, out=tmp_path) for word in words))
    assert done.code == 1
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())  # it said so before the work


@pytest.mark.parametrize(
    ("words", "now"),
    [
        (["--compare", "a", "b"], "dift-geo compare OUT OUT"),
        (["hpatches", "--download"], "dift-geo download DATASET"),
        (["hpatches", "out", "--download", "http://x"], "dift-geo download DATASET"),
    ],
)
def test_flags_of_version_01_name_the_new_command(command, words, now):
    done = command("evaluate", *words)
    assert done.code == 2
    assert done.err.splitlines()[-1].endswith(f"is a command of its own: {now}")


def test_left_out_pairs_are_said_and_change_the_exit_code(command, texture, tmp_path):
    root = render(tmp_path / "hp", texture, ("i_a",), 3)
    done = command("evaluate", root, tmp_path / "out", *QUICK)
    assert done.code == 3
    assert "left out: i_a: image 4, 5, 6 are missing" in done.err
