"""Finished is what was made of the bytes that are there now, whatever they are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from counting import CountingExtractor

from dift_geo.engine.contract import Engine
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

NAMES = ["a.bmp", "b.bmp", "sub/c.bmp"]  # of equal size in bytes, whatever they show
PAIRS = [("a.bmp", "b.bmp"), ("sub/c.bmp", "a.bmp"), ("b.bmp", "sub/c.bmp")]


class Counted:
    """An engine that works here and remembers the items."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def map(self, function, items, load=None):
        for item in items:
            self.items.append(item)
            yield function(item if load is None else load(item))


@pytest.fixture
def photos(tmp_path: Path, texture) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        write_image(folder / name, texture((80, 60), i))
    return folder


def extract(photos: Path, names: list[str] = NAMES, **options) -> list[str]:
    """The names of the images that were described."""
    extractor = CountingExtractor()
    extract_images(photos, names, extractor, photos.parent / "f.h5", **options)
    return extractor.asked


def matched(photos: Path, pairs: list[Pair] = PAIRS) -> list[object]:
    """The pairs that were matched."""
    engine: Engine = Counted()
    match_pairs(photos.parent / "f.h5", pairs, photos.parent / "m.h5", engine=engine)
    assert isinstance(engine, Counted)
    return engine.items


def as_if_new(photos: Path, names: list[str] = NAMES) -> None:
    """What the stores hold is what a run from the start makes."""
    fresh = photos.parent / "fresh"
    fresh.mkdir()
    extract_images(photos, names, CountingExtractor(), fresh / "f.h5")
    with FeatureStore(photos.parent / "f.h5") as got, FeatureStore(fresh / "f.h5") as expected:
        for name in names:
            assert got.fingerprint(name) == expected.fingerprint(name)
            np.testing.assert_array_equal(got[name].keypoints.xy, expected[name].keypoints.xy)
    pairs = [pair for pair in PAIRS if {*pair} <= {*names}]
    match_pairs(fresh / "f.h5", pairs, fresh / "m.h5")
    with MatchStore(photos.parent / "m.h5") as got, MatchStore(fresh / "m.h5") as expected:
        for pair in pairs:
            np.testing.assert_array_equal(got[pair].pairs, expected[pair].pairs)
    shutil.rmtree(fresh)


def test_nothing_is_done_twice(photos: Path) -> None:
    assert extract(photos) == NAMES
    assert matched(photos) == PAIRS
    assert extract(photos) == []
    assert matched(photos) == []
    as_if_new(photos)


@pytest.mark.parametrize("times", ["new", "kept"])
def test_a_photo_that_was_replaced_is_described_and_matched_again(
    photos: Path, texture, times: str
) -> None:
    """Though its name, its size and, where somebody set it, its time are the same."""
    extract(photos)
    matched(photos)
    before = (photos / "a.bmp").stat()
    write_image(photos / "a.bmp", texture((80, 60), 9))
    assert (photos / "a.bmp").stat().st_size == before.st_size
    if times == "kept":
        os.utime(photos / "a.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert extract(photos) == ["a.bmp"]
    assert matched(photos) == PAIRS[:2]
    as_if_new(photos)
    assert (extract(photos), matched(photos)) == ([], [])


def test_photos_that_changed_names_are_described_again(photos: Path) -> None:
    extract(photos)
    matched(photos)
    (photos / "a.bmp").rename(photos / "x")
    (photos / "b.bmp").rename(photos / "a.bmp")
    (photos / "x").rename(photos / "b.bmp")
    assert extract(photos) == NAMES[:2]
    assert matched(photos) == PAIRS
    as_if_new(photos)


def test_all_photos_of_another_scene(photos: Path, texture) -> None:
    extract(photos)
    matched(photos)
    for i, name in enumerate(NAMES):
        write_image(photos / name, texture((90, 50), 20 + i))
    assert extract(photos) == NAMES
    assert matched(photos) == PAIRS
    as_if_new(photos)


def test_a_copied_folder_is_not_another_one(photos: Path) -> None:
    """New times, the same bytes; they are read once, and a glance is enough from then on."""
    extract(photos)
    matched(photos)
    for name in NAMES:
        os.utime(photos / name, (1, 1))
    assert (extract(photos), matched(photos)) == ([], [])
    with FeatureStore(photos.parent / "f.h5") as store:
        for name in NAMES:
            located = store._locate(name)
            assert located is not None
            assert located[0].source.is_still(photos / name)
    assert not (photos.parent / "f.h5.shards").exists()
    as_if_new(photos)


def test_features_that_were_made_again_are_matched_again(photos: Path) -> None:
    """By the same settings: the file was deleted, or another program's was put in its place."""
    extract(photos)
    matched(photos)
    (photos.parent / "f.h5").unlink()
    extract(photos)
    assert matched(photos) == []  # the same once more
    with FeatureStore(photos.parent / "f.h5") as store:
        recipe, other = store.recipe, CountingExtractor(19)
    assert recipe is not None
    (photos.parent / "f.h5").unlink()
    with FeatureStore(photos.parent / "f.h5", recipe) as store:
        for name in NAMES:
            seed = NAMES.index(name)
            store[name] = other.extract(np.full((60, 80, 3), seed + 1, np.uint8), name)
        store.merge()
    assert matched(photos) == PAIRS


def test_a_pair_stored_the_other_way_round_is_replaced_where_it_is(photos: Path, texture) -> None:
    extract(photos)
    assert matched(photos, PAIRS[:1]) == PAIRS[:1]
    assert matched(photos, [PAIRS[0][::-1]]) == []
    write_image(photos / "b.bmp", texture((80, 60), 9))
    extract(photos)
    assert matched(photos, [PAIRS[0][::-1], PAIRS[0]]) == PAIRS[:1]
    with MatchStore(photos.parent / "m.h5") as store:
        assert list(store) == PAIRS[:1]
        there, back = store[PAIRS[0]], store[PAIRS[0][::-1]]
        np.testing.assert_array_equal(there.swapped().pairs, back.pairs)


def test_photos_that_are_gone_keep_their_features_which_nobody_uses(photos: Path) -> None:
    extract(photos)
    (photos / "b.bmp").unlink()
    assert extract(photos, ["a.bmp", "sub/c.bmp"]) == []
    with FeatureStore(photos.parent / "f.h5") as store:
        assert list(store) == NAMES
    extractor = CountingExtractor()
    skipped = extract_images(photos, NAMES, extractor, photos.parent / "f.h5")
    assert (skipped, extractor.asked) == (["b.bmp"], [])


def test_a_photo_that_cannot_be_read_any_more_is_skipped(photos: Path) -> None:
    """Not passed with the features of the photo that it was."""
    extract(photos)
    (photos / "b.bmp").write_bytes(b"BM" + bytes(30))
    assert extract_images(photos, NAMES, CountingExtractor(), photos.parent / "f.h5") == ["b.bmp"]


def test_a_photo_that_changes_while_it_is_read_is_not_taken(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dift_geo.engine import steps

    read, ticks = steps.read_image, iter(range(1, 99))

    def growing(path: Path) -> np.ndarray:
        pixels = read(path)
        if path.name == "b.bmp":
            os.utime(path, (next(ticks), 0))
        return pixels

    monkeypatch.setattr(steps, "read_image", growing)
    assert extract_images(photos, NAMES, CountingExtractor(), photos.parent / "f.h5") == ["b.bmp"]
    assert next(ticks) == 4


def test_stores_without_fingerprints_are_told_apart_by_numbers(photos: Path, texture) -> None:
    """Such as matches that were written before there were any."""
    extract(photos)
    matched(photos)
    path = photos.parent / "m.h5"
    with MatchStore(path) as store:
        recipe, found = store.recipe, [store[pair] for pair in PAIRS]
    assert recipe is not None
    path.unlink()
    with MatchStore(path, recipe) as store:
        for pair, matches in zip(PAIRS, found):
            store.put(pair, matches, 20)
        store.merge()
    assert matched(photos) == []
    write_image(photos / "a.bmp", np.zeros((60, 80, 3), np.uint8))  # no keypoints
    extract(photos)
    assert matched(photos) == PAIRS[:2]


def test_images_without_keypoints_are_named(photos: Path, caplog) -> None:
    write_image(photos / "a.bmp", np.zeros((60, 80, 3), np.uint8))
    write_image(photos / "sub" / "c.bmp", np.zeros((60, 80, 3), np.uint8))
    for _ in range(2):  # in a rerun, too
        caplog.clear()
        extract(photos)
        assert caplog.messages == ["no keypoints: a.bmp, sub/c.bmp"]
