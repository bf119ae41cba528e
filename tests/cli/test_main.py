"""The command line as a whole: exit codes, one line for every error, help, and names that stay."""

from __future__ import annotations

import argparse
import contextlib
import logging
import subprocess
import sys
from importlib import import_module

import pytest
import torch
from conftest import ROOT

from dift_geo import __version__
from dift_geo.cli.main import build_parser, main
from dift_geo.errors import NoModelError

EXTRACTOR = {
    "backend": "tiny",
    "detector": "sift",
    "descriptor": "dift",
    "reading": None,
    "max_keypoints": 8192,
    "size": 1600,
    "projection": None,
    "seed": 0,
    "device": "cpu",
    "mode": "default",
    "precision": "auto",
    "max_batch": None,
}
# by what suits models at the keypoints asked for
SUITED = {"descriptor": None, "contrast": None, "max_keypoints": None}
MATCHING = {"ratio": None, "min_similarity": None}
CAMERAS = {"camera_mode": "auto", "camera_model": "auto"}  # SIMPLE_RADIAL to begin with
# the flags of version 0.1 and their defaults; scripts rely on them
FLAGS = {
    "reconstruct": EXTRACTOR
    | SUITED
    | MATCHING
    | CAMERAS
    | {"ratio": 0.9, "features": None, "matches": None, "pairs": None, "overlap": 10}
    | {"intrinsics": None, "mapper": "incremental", "strict": False},
    "extract": EXTRACTOR | SUITED | {"strict": False},
    "pairs": {"pairs": None, "overlap": 10},  # none is exhaustive, as before
    "match": MATCHING | {"device": "cpu"},
    "homography": EXTRACTOR
    | MATCHING
    | {"max_keypoints": 2048, "size": 1024, "estimator": "kornia", "max_error": 3.0},
    "calibrate": EXTRACTOR | {"max_keypoints": 1000, "size": 640, "dim": None, "views": 0},
    "evaluate": EXTRACTOR
    | MATCHING
    | {"max_keypoints": None, "size": None, "protocol": "dift", "metric": "cosine"}
    | {"method": [], "features": [], "matches": [], "group": [], "keypoints": None}
    | {"cached": False, "estimator": None, "max_error": None, "sequences": None}
    | {"include_large": False, "bootstrap": 1000, "pictures": 3, "cache": None},
    "import": {"matches": None},
    "export": CAMERAS | {"database": None, "images": None, "text": None, "verified": False},
}
PLACES = {
    "reconstruct": ["images", "out"],
    "extract": ["images", "features"],
    "pairs": ["features", "out"],
    "match": ["features", "pairs", "matches"],
    "homography": ["image0", "image1"],
    "calibrate": ["images", "out"],
    "evaluate": ["dataset", "out"],
    "import": ["database", "features"],
    "export": ["features", "pairs", "matches"],
}


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return found.choices


NAMES = list(commands())


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_before_are_there_with_their_defaults(name: str) -> None:
    parsed = vars(build_parser().parse_args([name, *PLACES[name]]))
    assert {flag: parsed.get(flag, "missing") for flag in FLAGS[name]} == FLAGS[name]
    known = commands()[name]._option_string_actions
    assert {"--" + flag.replace("_", "-") for flag in FLAGS[name]} <= known.keys()
    assert all(place in parsed for place in PLACES[name])


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_an_example_and_fits_a_screen_a_group(name: str, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = commands()[name].format_help()
    assert f"example:\n  dift-geo {name} " in shown
    assert "None" not in shown, "a default that says nothing"
    groups = shown.split("\n\n")
    longest = max(groups, key=lambda group: group.count("\n"))
    assert longest.count("\n") < 24, longest
    for line in shown.partition("example:")[0].splitlines():
        assert len(line) <= 80, line


def test_the_list_of_commands_fits_a_screen(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert build_parser().format_help().count("\n") < 32


def test_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dift_geo.cli", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"dift-geo {__version__}\n"


@pytest.mark.parametrize("words", [[], ["nonsense"], ["extract"], ["match", "a", "b", "c", "--no"]])
def test_wrong_flags_are_exit_code_2(words, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: dift-geo" in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch):
    """A command line whose one command raises what it is told to."""

    def run(error: BaseException) -> int:
        def act(**flags: object) -> None:
            raise error

        def add(commands) -> None:
            commands.add_parser("fail").set_defaults(run=act)

        monkeypatch.setattr(import_module("dift_geo.cli.main"), "COMMANDS", (add,))
        return main(["fail"])

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NoModelError("no model\n  of 3 images"), "no model of 3 images"),
        (PermissionError(13, "Permission denied", "a/b"), "[Errno 13] Permission denied: 'a/b'"),
    ],
)
def test_what_cannot_be_done_is_one_line(failing, capsys, error, line) -> None:
    assert failing(error) == 1
    assert capsys.readouterr().err == f"dift-geo: {line}\n"


@pytest.mark.parametrize("error", [TypeError("got\na tuple"), KeyError("a"), ValueError("shapes")])
def test_a_defect_is_one_line_that_says_so(failing, capsys, error) -> None:
    assert failing(error) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"dift-geo: defect of dift-geo, please report it: {type(error).__name__}"
    )
    assert "DIFT_GEO_DEBUG=1" in line


@pytest.mark.parametrize("error", [TypeError("a"), NoModelError("b")])
def test_the_traceback_is_shown_where_it_is_asked_for(failing, monkeypatch, error) -> None:
    monkeypatch.setenv("DIFT_GEO_DEBUG", "1")
    with pytest.raises(type(error)):
        failing(error)


def test_debugging_can_be_switched_off(failing, monkeypatch) -> None:
    monkeypatch.setenv("DIFT_GEO_DEBUG", "0")
    assert failing(TypeError("a")) == 1


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError("CUDA out")])
def test_no_memory_is_no_defect(failing, capsys, error) -> None:
    assert failing(error) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--size or --max-batch" in line
    assert "defect" not in line


def test_an_interruption_is_told(failing, capsys) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert "goes on from there" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def logging_as_before():
    """`main` sets logging up for the process; tests leave it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    with contextlib.suppress(ValueError):
        root.handlers[:] = handlers
    root.setLevel(level)
