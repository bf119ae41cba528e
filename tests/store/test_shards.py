"""One recipe for a file and its shards; what is finished is never replaced."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from stored import RECIPE, assert_equal, features, hloc_file, left_over

from dift_geo.errors import RecipeError, StoreError
from dift_geo.recipe import fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.shards import MAX_SHARDS


def test_another_recipe_is_refused_and_shown(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = features()
    for merged in (False, True):
        with pytest.raises(
            RecipeError,
            match=r"other settings: detector.n is 5, expected 6. Delete it or choose another file",
        ):
            FeatureStore(tmp_path / "f.h5", {**RECIPE, "detector": {"name": "sift", "n": 6}})
        with pytest.raises(
            RecipeError, match=r"extra is None, expected 1; size is None, expected 640"
        ):
            FeatureStore(tmp_path / "f.h5", {**RECIPE, "size": 640, "extra": 1})
        if not merged:
            # the lock is free after the refusals
            with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
                store.merge()


def test_a_file_of_another_program_is_not_appended_to(tmp_path: Path) -> None:
    hloc_file(tmp_path / "f.h5")
    with pytest.raises(
        RecipeError,
        match=r"has no recipe \(written by another program\); choose another output file",
    ):
        FeatureStore(tmp_path / "f.h5", RECIPE)
    assert left_over(tmp_path) == []


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no features at .*f.h5"):
        FeatureStore(tmp_path / "f.h5")
    with pytest.raises(FileNotFoundError, match=r"no matches at .*m.h5"):
        MatchStore(tmp_path / "m.h5")
    (tmp_path / "f.h5").write_text("words")
    for recipe in (None, RECIPE):
        with pytest.raises(
            StoreError, match=r"f.h5 is no readable HDF5 file .*; delete it and run again"
        ):
            FeatureStore(tmp_path / "f.h5", recipe)
    assert left_over(tmp_path) == []


def test_an_empty_run_leaves_an_empty_store(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store.merge()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == []
        assert "a" not in store


def test_finished_values_are_not_replaced(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = features(seed=0)
        store["a"] = features(seed=1)  # not yet finished
        store.flush()
        with pytest.raises(
            StoreError, match=r"already holds 'a'; delete the file to make it again"
        ):
            store["a"] = features(seed=2)
        assert_equal(store["a"], features(seed=1))


def test_many_shards_are_folded_before_file_handles_run_out(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i in range(MAX_SHARDS + 5):
            store[f"{i}.jpg"] = features(1, seed=i)
            store.flush()
        assert len(list(store.shards.glob("*.h5"))) < 10
        assert len(store) == MAX_SHARDS + 5


OLD = Path(__file__).parent.parent / "fixtures" / "stores_of_01"  # written by dift-geo 0.1.0


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Features of two images, of which one waits in a shard as its writer was killed; matches."""
    return shutil.copytree(OLD, tmp_path / "old")


def test_stores_of_01_are_read(old: Path) -> None:
    with (
        FeatureStore(old / "features.h5") as features_of,
        MatchStore(old / "matches.h5") as matches_of,
    ):
        assert list(features_of) == ["a.png", "sub/b.png"]
        first = features_of["a.png"]
        assert first.keypoints.size_wh == (120, 90)
        assert first.descriptors.shape == (6, 128)
        np.testing.assert_array_equal(first.keypoints.xy[0], np.float32([5.2166882, 19.116714]))
        assert features_of.recipe is not None
        assert features_of.recipe["versions"]["dift-geo"] == "0.1.0"
        assert list(matches_of) == [("a.png", "sub/b.png")]
        pairs = [[0, 5], [1, 0], [2, 1], [3, 2], [4, 3], [5, 4]]
        assert matches_of["a.png", "sub/b.png"].pairs.tolist() == pairs
        assert matches_of.recipe is not None
        assert matches_of.recipe["features"] == fingerprint(features_of.recipe)


def test_a_store_of_01_goes_on_under_its_recipe_alone(old: Path) -> None:
    with FeatureStore(old / "features.h5") as store:
        recipe = store.recipe
    assert recipe is not None
    with pytest.raises(RecipeError, match="size is 1600, expected 640; unheard is None") as refusal:
        FeatureStore(old / "features.h5", {**recipe, "size": 640, "unheard": 1})
    assert "\n" not in str(refusal.value)
    with FeatureStore(old / "features.h5", recipe) as store:
        store["new.png"] = features(dim=128)
        store.merge()
    with FeatureStore(old / "features.h5") as store:
        assert list(store) == ["a.png", "new.png", "sub/b.png"]
    assert not (old / "features.h5.shards").exists()


def test_a_merge_that_fails_leaves_no_value_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in a shard is finished, though folding the shards had to be put off."""
    monkeypatch.setattr("dift_geo.store.shards.MAX_SHARDS", 0)
    store = FeatureStore(tmp_path / "f.h5", RECIPE)
    store["a"] = features()
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda part, path: once_full(part, path, replace))
    with pytest.raises(StoreError, match="No space left on device"):
        store.flush()
    monkeypatch.setattr(os, "replace", replace)
    store.flush()
    assert len(list(store.shards.glob("*.h5"))) == 1
    assert_equal(store["a"], features())
    store.close()


def once_full(part: Path, path: Path, replace) -> None:
    if path.name == "f.h5":
        raise OSError(28, "No space left on device")
    replace(part, path)
