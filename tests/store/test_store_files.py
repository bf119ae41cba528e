"""HDF5 files are whole or not there; the right to write one belongs to one process."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest

from dift_geo.errors import DiftGeoError, StoreError, WriteError
from dift_geo.store.files import (
    copy_missing,
    open_h5,
    part_of,
    published,
    read_recipe,
    write_recipe,
)
from dift_geo.store.lock import WriterLock


def test_a_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.h5"
    with published(path) as file:
        file["a"] = 1
        assert not path.exists()
    with open_h5(path) as file:
        assert file["a"][()] == 1
    assert [found.name for found in path.parent.iterdir()] == ["x.h5"]


@pytest.mark.parametrize("error", [KeyboardInterrupt("stop"), StoreError("mine"), OSError("full")])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "x.h5"
    with published(path) as file:
        file["a"] = 1

    def fail() -> None:
        with published(path) as file:
            file["a"] = 2
            raise error

    expected = WriteError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match=str(error)):
        fail()
    with open_h5(path) as file:
        assert file["a"][()] == 1
    assert not part_of(path).exists()


def test_a_recipe_is_read_as_written_and_another_programs_file_has_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        assert read_recipe(file) is None
        write_recipe(file, {"b": (1, 2), "a": {"ä": None}})
        assert read_recipe(file) == {"a": {"ä": None}, "b": [1, 2]}


def test_copies_add_and_never_replace(tmp_path: Path) -> None:
    """The arrays of a group belong together; a group within it may be another record."""
    with h5py.File(tmp_path / "a.h5", "w") as source, h5py.File(tmp_path / "b.h5", "w") as target:
        source["both/x"], source["both/y"], source["both/in/x"], source["only/x"] = 1, 2, 3, 4
        source["folder/x"], source["folder"].attrs["of"] = 5, "me"
        target["both/x"], target["folder/in/x"] = 9, 6
        assert [*copy_missing(source, target)] == ["in", "x", "only"]
        assert [*copy_missing(source, target)] == []
        assert target["both/x"][()] == 9
        assert "y" not in target["both"]
        assert target["both/in/x"][()] == 3
        assert target["only/x"][()] == 4
        assert target["folder/x"][()] == 5
        assert target["folder"].attrs["of"] == "me"


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "new" / "x.h5")
    with pytest.raises(StoreError, match="is being written by another process"):
        WriterLock(tmp_path / "new" / "x.h5")
    lock.release()
    WriterLock(tmp_path / "new" / "x.h5").release()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"x.h5 cannot be written: .*; choose another place"):
        WriterLock(tmp_path / "file" / "x.h5")
    with (
        pytest.raises(DiftGeoError, match=r"x.h5 cannot be written"),
        published(tmp_path / "file" / "x.h5"),
    ):
        pass

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", forbidden)
    with pytest.raises(WriteError, match="Permission denied"), published(tmp_path / "y.h5"):
        pass
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
