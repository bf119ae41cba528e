"""`dift-geo doctor`: a page or JSON, and an exit code that says whether anything is broken."""

from __future__ import annotations

import json


def test_the_environment_alone(command) -> None:
    done = command("doctor")
    assert done.code == 0, done.out
    assert done.err == ""
    assert done.out.startswith("dift-geo  ")
    assert max(map(len, done.out.splitlines())) < 400
    assert done.out.endswith("all is well\n")


def test_something_broken_is_named(command, tmp_path) -> None:
    (tmp_path / "features.h5").write_text("no features")
    done = command("doctor", tmp_path)
    assert done.code == 1
    assert "BROKEN  features.h5" in done.out
    assert "1 broken" in done.out


def test_json(command, tmp_path) -> None:
    (tmp_path / "summary.json").write_text("{")
    done = command("doctor", tmp_path, "--json")
    assert done.code == 1
    said = json.loads(done.out)
    assert said["well"] is False
    assert [one["subject"] for one in said["findings"] if one["state"] == "broken"] == [
        "summary.json"
    ]
    assert said["environment"]["python"]


def test_a_folder_that_is_not_there(command, tmp_path) -> None:
    done = command("doctor", tmp_path / "nowhere")
    assert done.code == 1
    assert done.err.startswith("dift-geo: ")
    assert "expected the folder of a run" in done.err
