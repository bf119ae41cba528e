"""One recipe for a file and its shards; what is finished is never replaced."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from stored import RECIPE, assert_equal, features, hloc_file, left_over

from dift_geo.errors import RecipeError, StoreError, WriteError
from dift_geo.recipe import fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.spans import FOLDED


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
        with pytest.raises(StoreError, match=r"f.h5 is no HDF5 file; give the path of a store"):
            FeatureStore(tmp_path / "f.h5", recipe)
    assert left_over(tmp_path) == []


def test_an_empty_run_leaves_an_empty_store(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store.merge()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == []
        assert "a" not in store


def test_a_newer_value_replaces_what_is_there(tmp_path: Path) -> None:
    """Whole, and whether it is pending, in a shard or merged."""
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for seed in range(4):
            store["a"] = features(seed=seed)
            store["b/c"] = features(seed=seed)
            assert_equal(store["a"], features(seed=seed))
            if seed:
                store.flush()
                assert_equal(store["a"], features(seed=seed))
        store.merge()
        assert_equal(store["b/c"], features(seed=3))
        store["a"] = features(2, seed=7, framed=False)  # without scales and angles
        store.merge()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert_equal(store["a"], features(2, seed=7, framed=False))
        assert_equal(store["b/c"], features(seed=3))
        assert list(store) == ["a", "b/c"]


def test_many_shards_are_folded_into_few(tmp_path: Path) -> None:
    """File handles do not run out, and no value is copied more often than the numbers have digits
    to base 8; the newest value of an image counts all the way.
    """
    written: Counter[str] = Counter()
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i in range(150):
            store[f"{i}.jpg"] = features(1, seed=i)
            store["same.jpg"] = features(1, seed=i)
            store.flush()
            written.update(path.name for path in store.shards.glob("*.h5"))
        names = sorted(path.name for path in store.shards.glob("*.h5"))
        assert names[0] == "00000001-00000064.h5"
        assert len(names) == 2 + 2 + 6  # 150 = 2 * 64 + 2 * 8 + 6
        assert len(store) == 151
        assert_equal(store["same.jpg"], features(1, seed=149))
        store.merge()
        assert_equal(store["same.jpg"], features(1, seed=149))
        assert_equal(store["31.jpg"], features(1, seed=31))
    assert left_over(tmp_path) == []


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


def test_a_fold_that_fails_leaves_no_value_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in a shard is finished, though folding the shards had to be put off."""
    store = FeatureStore(tmp_path / "f.h5", RECIPE)
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda part, path: once_full(part, path, replace))
    for i in range(FOLDED):
        store["a"] = features(seed=i)
        if i == FOLDED - 1:
            with pytest.raises(WriteError, match="No space left on device"):
                store.flush()
        else:
            store.flush()
    monkeypatch.setattr(os, "replace", replace)
    store.flush()
    assert len(list(store.shards.glob("*.h5"))) == FOLDED
    assert_equal(store["a"], features(seed=FOLDED - 1))
    store["b"] = features()
    store.flush()
    names = sorted(path.name for path in store.shards.glob("*.h5"))
    assert names == ["00000001.h5", "00000002-00000009.h5"]
    assert_equal(store["a"], features(seed=FOLDED - 1))
    store.close()


def once_full(part: Path, path: Path, replace) -> None:
    if "-" in path.name:
        raise OSError(28, "No space left on device")
    replace(part, path)
