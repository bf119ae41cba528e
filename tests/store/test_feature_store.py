"""Features on disk: what is written is read again, in the layout that hloc reads."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import NAMES, RECIPE, assert_equal, features, hloc_file, left_over

from dift_geo.errors import StoreError
from dift_geo.store.features import FeatureStore


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("framed", [True, False])
def test_features_round_trip(tmp_path: Path, n: int, framed: bool) -> None:
    written = features(n, framed=framed)
    with FeatureStore(tmp_path / "new/f.h5", RECIPE) as store:
        store["a.jpg"] = written
        assert_equal(store["a.jpg"], written)  # before it is on disk
        store.merge()
    with FeatureStore(tmp_path / "new/f.h5") as store:
        assert list(store) == ["a.jpg"]
        assert_equal(store["a.jpg"], written)
        assert store.recipe == {**RECIPE, "layers": [1, 2]}
    assert left_over(tmp_path / "new") == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("flush_each", [True, False])
def test_awkward_names(tmp_path: Path, order: int, flush_each: bool) -> None:
    """Spaces, unicode, folders, an image with the name of another's folder, a folder named like a
    dataset.
    """
    names = NAMES[::order]
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i, name in enumerate(names):
            assert name not in store
            store[name] = features(seed=i)
            if flush_each:
                store.flush()
        for absent in ("deep", "x", "deep/er", "x/keypoints", "a.jpg/keypoints", "b.png"):
            assert absent not in store
        store.merge()
        assert list(store) == sorted(names)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == sorted(names)
        assert len(store) == len(names)
        for i, name in enumerate(names):
            assert_equal(store[name], features(seed=i))


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a.jpg/b.png"] = features()
        store.flush()
        assert "a.jpg" not in store
        with pytest.raises(KeyError, match=r"'a.jpg' is not in .*f.h5"):
            store["a.jpg"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_reads_features_of_hloc(tmp_path: Path, dtype) -> None:
    written = hloc_file(tmp_path / "f.h5", dtype)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.recipe is None
        assert list(store) == ["query/a.jpg"]
        read = store["query/a.jpg"]
        assert read.keypoints.scale is None
        np.testing.assert_array_equal(
            read.keypoints.xy, written.keypoints.xy.astype(dtype).astype(np.float32)
        )
        assert read.descriptors.shape == (6, 8)
        with pytest.raises(StoreError, match="open for reading; give a recipe to write"):
            store["b"] = written
        with pytest.raises(StoreError, match="open for reading; give a recipe to write"):
            store.merge()


def test_the_layout_is_hlocs_without_links(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for name in NAMES:
            store[name] = features()
            store.flush()
        store.merge()
    with h5py.File(tmp_path / "f.h5") as file:
        links: list = []
        file.visit_links(lambda name: links.append(file.get(name, getlink=True)))
        assert {type(link) for link in links} == {h5py.HardLink}
        group = file["deep/er/est/x.jpg"]
        found = {name: (item.shape, item.dtype) for name, item in group.items()}
        assert found == {
            "keypoints": ((5, 2), np.float32),
            "descriptors": ((8, 5), np.float16),
            "scores": ((5,), np.float16),
            "image_size": ((2,), np.int64),
            "scales": ((5,), np.float32),
            "oris": ((5,), np.float32),
        }
        assert group["keypoints"].attrs["uncertainty"] == 1
        assert group["image_size"][()].tolist() == [6000, 4000]


def test_a_value_reads_the_same_before_and_after_it_is_on_disk(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a.jpg"] = features()
        before = store["a.jpg"]
        store.flush()
        after = store["a.jpg"]
    np.testing.assert_array_equal(before.descriptors, after.descriptors)
    np.testing.assert_array_equal(before.keypoints.scores, after.keypoints.scores)


LETTERS = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
PART = st.text(LETTERS, min_size=1, max_size=8).filter(lambda part: part.strip("."))
IMAGES = st.lists(st.lists(PART, min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(images=IMAGES, flushed=st.booleans())
def test_any_names_are_listed_and_found(images: list[list[str]], flushed: bool) -> None:
    names = sorted({"/".join(parts) + ".png" for parts in images})
    with TemporaryDirectory() as folder:
        with FeatureStore(Path(folder) / "f.h5", RECIPE) as store:
            for i, name in enumerate(names):
                store[name] = features(i % 3, seed=i)
                store.flush() if flushed else None
            store.merge()
        with FeatureStore(Path(folder) / "f.h5") as store:
            assert list(store) == names
            for i, name in enumerate(names):
                assert_equal(store[name], features(i % 3, seed=i))


def test_a_store_that_is_read_can_be_sent_to_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FeatureStore("f.h5", RECIPE) as store:
        store["a.jpg"] = features()
        with pytest.raises(StoreError, match=r"f.h5 is open for writing, which one process can do"):
            pickle.dumps(store)
    with FeatureStore("f.h5") as store:
        sent = pickle.dumps(store)
    monkeypatch.chdir("/")
    with pickle.loads(sent) as store:
        assert_equal(store["a.jpg"], features())
