"""What is the user's stays, what is ours is replaced whole or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dift_geo.colmap.workspace import MARKER, RESULTS, Workspace


def fill(
    folder: Path, text: str, names: tuple[str, ...] = ("database.db", "sparse/points")
) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize("name", RESULTS)
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
        for _ in range(2):
            with Workspace(tmp_path / name, tmp_path / "full/images").claimed():
                pass
        after = content(tmp_path / name)
        assert MARKER in after
        assert {key: after[key] for key in before} == before
        assert set(after) == {*before, MARKER}


def test_a_pairs_file_that_was_handed_over_may_lie_there(tmp_path: Path) -> None:
    fill(tmp_path, "a b", ("pairs.txt",))
    with pytest.raises(ValueError, match=r"pairs.txt that dift-geo did not make"):
        Workspace(tmp_path)
    Workspace(tmp_path, given=[tmp_path / "pairs.txt"])


def publish(out: Path, text: str, given: tuple[Path, ...] = (), names=("database.db", "sparse/p")):
    """What a run does whose results stand."""
    space = Workspace(out, given=given)
    with space.claimed(), space.scratch() as scratch:
        fill(scratch, text, names)
        space.publish(scratch, {"run": text})


def test_a_run_of_the_first_version_is_ours(tmp_path: Path) -> None:
    fill(tmp_path, "old", ("database.db", "sparse/cameras.bin", "pairs.txt"))
    (tmp_path / "summary.json").write_text(json.dumps({"dift_geo": "0.1.0"}))
    fill(tmp_path, "notes", ("sparse/notes.txt",))
    with pytest.raises(ValueError, match=r"holds sparse/notes.txt that dift-geo did not make"):
        Workspace(tmp_path)
    (tmp_path / "sparse/notes.txt").unlink()
    publish(tmp_path, "new")
    assert content(tmp_path)["database.db"] == "new"
    assert not (tmp_path / "sparse/cameras.bin").exists()


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
    publish(tmp_path, "first", names=("database.db", "sparse/p", "pairs.txt"))
    first = content(tmp_path)
    assert first["database.db"] == first["sparse/p"] == "first"
    space = Workspace(tmp_path)
    with space.claimed(), space.scratch() as scratch:
        fill(scratch, "second")  # and no model is found
    assert content(tmp_path) == first
    publish(tmp_path, "third", names=("database.db", "sparse/0/p"))
    third = content(tmp_path)
    assert json.loads(third["summary.json"]) == {"run": "third"}
    # the old pairs would speak of another model
    assert set(third) == {MARKER, "summary.json", "database.db", "sparse/0/p"}


@pytest.mark.parametrize("name", ["database.db", "sparse/p", "summary.json"])
def test_a_result_that_was_changed_is_the_users(tmp_path: Path, name: str) -> None:
    publish(tmp_path, "ours")
    (tmp_path / name).write_text("better")
    before = content(tmp_path)
    with pytest.raises(ValueError, match=rf"holds {name} that was changed since dift-geo made it"):
        Workspace(tmp_path)
    assert content(tmp_path) == before
    (tmp_path / name).unlink()  # what is gone is missed by nobody
    publish(tmp_path, "again")


def test_what_came_while_a_run_worked_is_left(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with space.claimed(), space.scratch() as scratch:
        fill(scratch, "ours")
        fill(tmp_path, "theirs", ("sparse/0/p", "summary.json"))
        with pytest.raises(ValueError, match=r"sparse, summary.json that dift-geo did not make"):
            space.publish(scratch, {})
    assert set(content(tmp_path)) == {MARKER, "sparse/0/p", "summary.json"}


def test_a_copy_with_other_times_is_still_ours(tmp_path: Path) -> None:
    publish(tmp_path / "a", "ours")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    publish(tmp_path / "b", "again")


def database(path: Path, value: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        connection.execute("DELETE FROM t")
        connection.execute("INSERT INTO t VALUES (?)", [value])


def test_looking_into_a_database_does_not_change_it(tmp_path: Path) -> None:
    """Programs that open one change its bytes, COLMAP does."""

    def run(value: int) -> None:
        space = Workspace(tmp_path)
        with space.claimed(), space.scratch() as scratch:
            database(scratch / "database.db", value)
            space.publish(scratch, {})

    run(1)
    before = (tmp_path / "database.db").read_bytes()
    with closing(sqlite3.connect(tmp_path / "database.db")) as opened:
        opened.execute("PRAGMA user_version=7")
    assert (tmp_path / "database.db").read_bytes() != before
    run(2)
    database(tmp_path / "database.db", 3)
    with pytest.raises(ValueError, match=r"database.db that was changed since"):
        run(4)
    files = set(content_names(tmp_path))
    assert files == {MARKER, "summary.json", "database.db"}


def content_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_changes_that_wait_beside_a_database_count_and_go_with_it(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with space.claimed(), space.scratch() as scratch:
        database(scratch / "database.db", 1)
        space.publish(scratch, {})
    with closing(sqlite3.connect(tmp_path / "database.db")) as opened:
        opened.execute("UPDATE t SET x = 2")
        opened.commit()
        assert (tmp_path / "database.db-wal").stat().st_size
        with pytest.raises(ValueError, match=r"database.db that was changed since"):
            Workspace(tmp_path)
    (tmp_path / "database.db").unlink()
    (tmp_path / "database.db-wal").write_text("of the one that is gone")
    with space.claimed(), space.scratch() as scratch:
        database(scratch / "database.db", 5)
        space.publish(scratch, {})
    assert not (tmp_path / "database.db-wal").exists()


def test_files_that_were_handed_over_stay(tmp_path: Path) -> None:
    fill(tmp_path, "a b", ("pairs.txt",))
    given = (tmp_path / "pairs.txt",)
    publish(tmp_path, "x", given, ("database.db", "sparse/p", "pairs.txt"))
    assert content(tmp_path)["pairs.txt"] == "a b"


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with space.claimed():
        scratch = space.scratch()
        folder = scratch.__enter__()
        fill(folder, "half")
        shutil.copytree(folder, tmp_path / ".dift-geo-scratch-left")
        scratch.__exit__(None, None, None)
    with Workspace(tmp_path).claimed():
        assert set(content(tmp_path)) == {MARKER, f"{MARKER}.lock"}


@pytest.mark.parametrize("moves", range(8))
def test_a_kill_while_results_are_replaced_loses_nothing(tmp_path, monkeypatch, moves) -> None:
    """After any number of moves, the old results are whole or the next run completes the new."""
    publish(tmp_path, "old", names=("database.db", "sparse/p", "pairs.txt"))
    whole = Path.rename
    left = [moves]

    def rename(path: Path, target: Path) -> Path:
        if path.is_relative_to(tmp_path):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        return whole(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, "new", names=("database.db", "sparse/p", "pairs.txt"))
    monkeypatch.undo()
    with Workspace(tmp_path).claimed():
        pass
    found = content(tmp_path)
    assert found.pop("summary.json") == '{\n "run": "new"\n}\n'
    assert found.pop(MARKER)
    assert found == {"database.db": "new", "sparse/p": "new", "pairs.txt": "new"}
    publish(tmp_path, "newer")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with space.claimed(), space.scratch() as scratch:
        with (
            pytest.raises(RuntimeError, match="is in use by another run of dift-geo; wait for it"),
            Workspace(tmp_path).claimed(),
        ):
            pass
        assert scratch.is_dir()
