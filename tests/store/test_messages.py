"""One cause, one message: what cannot be opened says why; "delete it" is for damaged stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from stored import RECIPE, features, hloc_file, left_over, matches

from dift_geo.errors import DiftGeoError, MissingFileError, StoreError, WriteError
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore


def ours(path: Path) -> None:
    with FeatureStore(path, RECIPE) as store:
        store["a.jpg"] = features(200)
        store.merge()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def garbled(path: Path) -> None:
    path.write_bytes(bytes(64) + path.read_bytes()[64:])


CAUSES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "no features at .*f.h5"),
    "folder": (Path.mkdir, "f.h5 is a folder, expected an HDF5 file; give the path of the file"),
    "empty": (Path.touch, "f.h5 is empty, expected HDF5; delete it or choose another file"),
    "text": (
        lambda path: path.write_text("a.jpg b.jpg\n" * 99),
        "f.h5 is no HDF5 file; give the path of a store, or choose another file",
    ),
    "ours, cut": (
        lambda path: (ours(path), cut(path)),
        r"f.h5 is damaged \(truncated file: .*\); delete it and run again",
    ),
    "ours, garbled": (
        lambda path: (ours(path), garbled(path)),
        r"f.h5 is damaged \(file signature not found\); delete it and run again",
    ),
    "hloc's, cut": (
        lambda path: (hloc_file(path), cut(path)),
        r"f.h5 is damaged \(truncated file: .*\); make it again with the program that wrote it",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("writing", [False, True])
def test_each_cause_has_its_message(tmp_path: Path, cause: str, writing: bool) -> None:
    make, message = CAUSES[cause]
    make(tmp_path / "f.h5")
    if writing and cause == "nothing":
        return
    if writing and cause == "folder":
        message = "f.h5 is a folder, expected a file; give another name"
    with pytest.raises(DiftGeoError, match=message) as refusal:
        FeatureStore(tmp_path / "f.h5", RECIPE if writing else None)
    assert "\n" not in str(refusal.value)
    assert ("delete it and run again" in str(refusal.value)) == cause.startswith("ours")
    kinds = {"nothing": MissingFileError, "folder": (StoreError, WriteError)}
    assert isinstance(refusal.value, kinds.get(cause, StoreError))
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("writing", [False, True])
def test_a_file_that_another_program_is_writing(tmp_path: Path, writing: bool) -> None:
    """HDF5's own lock, as hloc holds it: nothing is damaged, and nothing to be deleted."""
    ours(tmp_path / "f.h5")
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "f.h5")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(
            StoreError,
            match=r"f.h5 is being written by another program, which holds HDF5's lock on it; wait",
        ):
            FeatureStore(tmp_path / "f.h5", RECIPE if writing else None)
        other.communicate("\n")
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == ["a.jpg"]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a.jpg"] = features(200)
    shard = tmp_path / "f.h5.shards" / "00000001.h5"
    cut(shard)
    for recipe in (None, RECIPE):
        with pytest.raises(StoreError, match=r"00000001.h5 is damaged .*; delete it and run again"):
            FeatureStore(tmp_path / "f.h5", recipe)
    shard.unlink()
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        assert list(store) == []


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    for text in ("{half", "[1]", b"\xff"):
        with h5py.File(tmp_path / "m.h5", "w") as file:
            file.attrs["recipe"] = text
        with pytest.raises(StoreError, match=r"m.h5"):
            MatchStore(tmp_path / "m.h5")


def test_names_that_hdf5_cannot_hold_are_refused(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for name in ("", "/", "/a.jpg", "a//b", "a/", "./a", ".", "../a", "a\0b"):
            with pytest.raises(DiftGeoError, match=r"has no place in .*f.h5, expected names"):
                store[name] = features()
        store["a.jpg"] = features()
        store["a.jpg/keypoints"] = features()  # would lie in an array
        with pytest.raises(DiftGeoError, match=r"'a.jpg/keypoints' has no place in .*rename"):
            store.flush()
        store._pending.clear()
    with (
        MatchStore(tmp_path / "m.h5", RECIPE) as store,
        pytest.raises(DiftGeoError, match="has no place in"),
    ):
        store.put(("a", ""), matches([]), 3)
