"""What is the user's stays, what is ours is replaced whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dift_geo.colmap.workspace import MARKER, OURS, Workspace


def fill(
    folder: Path, text: str, names: tuple[str, ...] = ("database.db", "sparse/points")
) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize("name", OURS)
def test_what_another_program_made_is_refused_and_left(tmp_path: Path, name: str) -> None:
    out = tmp_path / "project"
    target = out / name / "x" if name == "sparse" else out / name
    fill(out, "theirs", (target.relative_to(out).as_posix(), "images/a.jpg"))
    before = content(out)
    with pytest.raises(
        ValueError, match=rf"holds {name} that dift-geo did not make; choose another"
    ):
        Workspace(out, out / "images")
    assert content(out) == before


def test_a_new_folder_an_empty_one_one_with_photos_and_stores_can_be_claimed(
    tmp_path: Path,
) -> None:
    for name in ("new/deep", "empty", "full"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "full", "x", ("images/a.jpg", "features.h5", "matches.h5", "notes.txt"))
    for name in ("new/deep", "empty", "full"):
        before = content(tmp_path / name)
        Workspace(tmp_path / name, tmp_path / "full/images").claim()
        after = content(tmp_path / name)
        assert MARKER in after
        assert {key: after[key] for key in before} == before
        Workspace(tmp_path / name).claim()  # again


def test_a_pairs_file_that_was_handed_over_may_lie_there(tmp_path: Path) -> None:
    fill(tmp_path, "a b", ("pairs.txt",))
    with pytest.raises(ValueError, match=r"pairs.txt that dift-geo did not make"):
        Workspace(tmp_path)
    Workspace(tmp_path, given=[tmp_path / "pairs.txt"])


def test_a_run_of_the_first_version_is_ours(tmp_path: Path) -> None:
    fill(tmp_path, "old")
    (tmp_path / "summary.json").write_text(json.dumps({"dift_geo": "0.1.0"}))
    Workspace(tmp_path).claim()


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"other": 1}'])
def test_somebody_elses_summary_does_not_make_it_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=r"summary.json that dift-geo did not make"):
        Workspace(tmp_path)


def test_the_folder_of_photos_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is the folder of photos"):
        Workspace(tmp_path, tmp_path / "x/..")
    fill(tmp_path, "x", ("file",))
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        Workspace(tmp_path / "file")


def test_results_are_replaced_only_when_they_stand(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    space.claim()
    names = ("database.db", "sparse")
    with space.scratch() as scratch:
        fill(scratch, "first")
        space.publish(scratch, names, {"run": 1})
    first = content(tmp_path)
    assert first["database.db"] == first["sparse/points"] == "first"
    with space.scratch() as scratch:
        fill(scratch, "second")  # and no model is found
    assert content(tmp_path) == first
    with space.scratch() as scratch:
        fill(scratch, "third", ("database.db", "sparse/0/points"))
        space.publish(scratch, names, {"run": 3})
    third = content(tmp_path)
    assert json.loads(third["summary.json"]) == {"run": 3}
    assert set(third) == {MARKER, "summary.json", "database.db", "sparse/0/points"}


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    space.claim()
    scratch = space.scratch()
    folder = scratch.__enter__()
    fill(folder, "half")
    del scratch
    Workspace(tmp_path).claim()
    assert set(content(tmp_path)) == {MARKER}
