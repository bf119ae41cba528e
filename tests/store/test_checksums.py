"""A bit that flips on the disk is an error that names file and image, never another number."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from stored import RECIPE, assert_equal, features, matches

from dift_geo.errors import StoreError
from dift_geo.store import index
from dift_geo.store.features import FeatureStore
from dift_geo.store.index import read_index
from dift_geo.store.matches import MatchStore

NAMES = ["a.jpg", "sub/b.jpg", "sub/c.jpg"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i, name in enumerate(NAMES):
            store[name] = features(40, seed=i)
        store.merge()
    return tmp_path / "f.h5"


def flipped(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def place_of(path: Path, dataset: str) -> int:
    with h5py.File(path) as file:
        return int(file[dataset].id.get_chunk_info(0).byte_offset)


@pytest.mark.parametrize("array", ["keypoints", "descriptors", "scores", "image_size", "oris"])
def test_a_flipped_bit_in_an_array_names_file_and_image(path: Path, array: str) -> None:
    flipped(path, place_of(path, f"sub/b.jpg/{array}") + 3, 6)
    with FeatureStore(path) as store:
        assert_equal(store["a.jpg"], features(40, seed=0))
        with pytest.raises(
            StoreError, match=r"f.h5 is damaged at 'sub/b.jpg' \(.*\); delete it and run again"
        ) as refusal:
            store["sub/b.jpg"]
        assert "\n" not in str(refusal.value)
        assert_equal(store["sub/c.jpg"], features(40, seed=2))


@pytest.mark.parametrize("seed", range(4))
def test_no_flipped_bit_passes(path: Path, seed: int) -> None:
    whole, draw, caught = path.read_bytes(), random.Random(seed), 0
    for _ in range(60):
        flipped(path, draw.randrange(len(whole)), draw.randrange(8))
        try:
            with FeatureStore(path) as store:
                assert list(store) == NAMES
                assert store.recipe == {**RECIPE, "layers": [1, 2]}
                for i, name in enumerate(NAMES):
                    assert_equal(store[name], features(40, seed=i))
        except StoreError as error:
            caught += str(path) in str(error)
        path.write_bytes(whole)
    assert caught > 30  # the rest is in the index, or in gaps


def test_damage_does_not_spread(path: Path) -> None:
    """A damaged shard is refused before it becomes a part of the file with everything in it."""
    with FeatureStore(path, RECIPE) as store:
        for i in range(4):
            store[f"{i}.jpg"] = features(seed=i)
            store.flush()
    shard = path.parent / "f.h5.shards" / "00000003.h5"
    whole = path.read_bytes()
    flipped(shard, place_of(shard, "2.jpg/descriptors"))
    with (
        FeatureStore(path, RECIPE) as store,
        pytest.raises(
            StoreError, match=r"00000003.h5 is damaged at '2.jpg' .*; delete it and run again"
        ),
    ):
        store.merge()
    assert path.read_bytes() == whole
    shard.unlink()
    with FeatureStore(path, RECIPE) as store:
        store["2.jpg"] = features(seed=2)
        store.merge()
        assert list(store) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", *NAMES]
        assert_equal(store["2.jpg"], features(seed=2))


def test_a_damaged_index_is_not_believed_and_not_needed(path: Path) -> None:
    with h5py.File(path) as file:
        end = file.id.get_filesize()  # with the index behind it
    assert read_index(path, 8)
    for at in range(end - 120, end):
        whole = path.read_bytes()
        flipped(path, at, at % 8)
        assert read_index(path, 8) is None
        with FeatureStore(path) as store:
            assert list(store) == NAMES
            assert_equal(store["sub/c.jpg"], features(40, seed=2))
        path.write_bytes(whole)


def test_an_index_goes_when_another_program_changes_the_file(tmp_path: Path) -> None:
    """hloc adds pairs to a file of ours, deletes some, and writes its own."""
    path = tmp_path / "m.h5"
    with MatchStore(path, RECIPE) as store:
        for pair in (("a", "b"), ("a", "c")):
            store.put(pair, matches([[0, 1]]), 3, ("0", "1"))
        store.merge()
    with h5py.File(path, "a", libver="latest") as file:
        del file["a/b"]
        file["x-y/z/matches0"] = np.array([-1, 5], np.int16)
    assert read_index(path, 4) is None
    with MatchStore(path) as store:
        assert list(store) == [("a", "c"), ("x-y", "z")]
        assert ("a", "b") not in store
        assert store["x/y", "z"].pairs.tolist() == [[1, 5]]
    with MatchStore(path, RECIPE) as store:  # and is there again after the next merge
        store.put(("a", "b"), matches([[0, 2]]), 3)
        store.merge()
    assert len(read_index(path, 4) or ()) == 3
    with MatchStore(path) as store:
        assert list(store) == [("a", "b"), ("a", "c"), ("x-y", "z")]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 200_000])
def test_what_is_wrapped_without_being_compressed_is_what_zlib_reads(monkeypatch, size) -> None:
    data = np.random.default_rng(0).bytes(size)
    others = {name: module for name, module in sys.modules.items() if name != "zlib"}
    monkeypatch.setattr(sys, "modules", {"pycolmap._core": None, **others, "zlib": zlib})
    wrapped = index._compressed(data)
    assert zlib.decompress(wrapped) == data
    assert len(wrapped) >= size


def test_stores_are_written_where_pycolmap_was_imported_before_all_else(tmp_path: Path) -> None:
    code = f"""
        import pycolmap
        import dift_geo, numpy as np
        keypoints = dift_geo.Keypoints(np.ones((3, 2)), np.ones(3), (9, 9))
        with dift_geo.FeatureStore({str(tmp_path / "f.h5")!r}, {{}}) as store:
            for i in range(5):
                store[str(i)] = dift_geo.Features(keypoints, np.eye(3))
        with dift_geo.FeatureStore({str(tmp_path / "f.h5")!r}) as store:
            print(len(store))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr[-500:]
