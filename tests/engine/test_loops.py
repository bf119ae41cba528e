"""The resumable loops, with an extractor that counts what it is asked for."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
from counting import CountingExtractor

from dift_geo.engine.contract import Engine
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError, MissingNameError, RecipeError
from dift_geo.images import read_image, write_image
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.recent import size_in_bytes
from dift_geo.turned import Straighten
from dift_geo.types import Features, Matches, Turn

NAMES = ["a.png", "b.png", "sub/c.png"]
PAIRS = [("a.png", "b.png"), ("sub/c.png", "a.png")]


@pytest.fixture
def photos(tmp_path: Path, texture) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        write_image(folder / name, texture((80, 60), i))
    return folder


@pytest.fixture
def features(photos: Path, tmp_path: Path) -> Path:
    extract_images(photos, NAMES, CountingExtractor(), tmp_path / "f.h5")
    return tmp_path / "f.h5"


class Counted:
    """An engine that works here and counts the items."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def map(self, function, items, load=None) -> Generator:
        for item in items:
            self.items.append(item)
            yield function(item if load is None else load(item))


def spawned(function, load, item):
    return function(item if load is None else load(item))


class OtherProcess:
    """An engine whose work is done by another Python."""

    def map(self, function, items, load=None) -> Generator:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            for future in [pool.submit(spawned, function, load, item) for item in items]:
                yield future.result()


# images


def test_a_second_run_does_nothing_again(photos: Path, tmp_path: Path) -> None:
    extractor = CountingExtractor()
    assert extract_images(photos, NAMES[:2], extractor, tmp_path / "f.h5") == []
    before = (tmp_path / "f.h5").read_bytes()
    extract_images(photos, NAMES[:2], extractor, tmp_path / "f.h5")
    assert extractor.asked == NAMES[:2]
    assert (tmp_path / "f.h5").read_bytes() == before
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")  # one more photo
    assert extractor.asked == NAMES
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == NAMES


def test_a_name_that_comes_twice_is_done_once(photos: Path, tmp_path: Path) -> None:
    extractor = CountingExtractor()
    extract_images(photos, ["b.png", "a.png", "b.png"], extractor, tmp_path / "f.h5")
    assert extractor.asked == ["b.png", "a.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_run_keeps_what_is_done(
    photos: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    class Interrupted(CountingExtractor):
        def extract(self, image: np.ndarray, name: str) -> Features:
            if name == "b.png":
                raise error
            return super().extract(image, name)

    first, second = Interrupted(), CountingExtractor()
    with pytest.raises(error):
        extract_images(photos, NAMES, first, tmp_path / "f.h5")
    extract_images(photos, NAMES, second, tmp_path / "f.h5")
    assert first.asked == NAMES[:1]
    assert second.asked == NAMES[1:]
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == NAMES
        whole = second.extract(read_image(photos / "a.png"), "a.png")
        np.testing.assert_array_equal(store["a.png"].keypoints.xy, whole.keypoints.xy)


def test_unreadable_photos_are_skipped_or_stop(photos: Path, tmp_path: Path, caplog) -> None:
    (photos / "b.png").write_text("not a picture")
    (photos / "sub" / "c.png").unlink()
    extractor = CountingExtractor()
    assert extract_images(photos, NAMES, extractor, tmp_path / "f.h5") == NAMES[1:]
    assert "b.png" in caplog.text
    assert "c.png" in caplog.text
    with pytest.raises(InputError, match=r"b\.png"):
        extract_images(photos, NAMES, extractor, tmp_path / "strict.h5", strict=True)
    with FeatureStore(tmp_path / "strict.h5") as store:
        assert list(store) == NAMES[:1]


def test_other_settings_are_refused(photos: Path, features: Path) -> None:
    with pytest.raises(RecipeError, match=r"extractor.points is 20, expected 50"):
        extract_images(photos, NAMES, CountingExtractor(50), features)


# pairs


def test_matches_equal_direct_matching(features: Path, tmp_path: Path) -> None:
    options = MatchOptions(ratio=0.95)
    match_pairs(features, PAIRS, tmp_path / "m.h5", options)
    with FeatureStore(features) as of, MatchStore(tmp_path / "m.h5") as matches:
        for a, b in PAIRS:
            expected = match(of[a].descriptors, of[b].descriptors, options)
            assert len(expected)
            np.testing.assert_array_equal(matches[a, b].pairs, expected.pairs)
        assert matches.recipe is not None
        assert matches.recipe["matcher"] == options.recipe()
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["a.png/b.png/matches0"].shape == (20,)


def test_little_memory_changes_the_order_and_nothing_else(
    photos: Path, texture, tmp_path: Path
) -> None:
    """Features of four images at hand, and pairs of six."""
    names = [f"{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        write_image(photos / name, texture((80, 60), i))
    extract_images(photos, names, CountingExtractor(), tmp_path / "f.h5")
    pairs = list(combinations(names, 2))
    with FeatureStore(tmp_path / "f.h5") as store:
        least = 4 * size_in_bytes(store[names[0]])
    engine: Engine = Counted()
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "little.h5", engine=engine, memory=least)
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "much.h5")
    assert isinstance(engine, Counted)
    assert engine.items != pairs
    assert sorted(engine.items) == pairs
    with MatchStore(tmp_path / "little.h5") as got, MatchStore(tmp_path / "much.h5") as expected:
        assert list(got) == list(expected) == pairs
        for pair in pairs:
            np.testing.assert_array_equal(got[pair].pairs, expected[pair].pairs)


def test_pairs_are_matched_once(features: Path, tmp_path: Path) -> None:
    engine: Engine = Counted()
    twice = [*PAIRS, PAIRS[0]]
    for pairs in (PAIRS[:1], twice, twice):
        match_pairs(features, pairs, tmp_path / "m.h5", engine=engine)
    assert isinstance(engine, Counted)
    assert engine.items == PAIRS
    with pytest.raises(RecipeError, match=r"matcher.ratio is None, expected 0.95"):
        match_pairs(features, PAIRS, tmp_path / "m.h5", MatchOptions(ratio=0.95))


def test_matches_belong_to_their_features(photos: Path, features: Path, tmp_path: Path) -> None:
    match_pairs(features, PAIRS, tmp_path / "m.h5")
    extract_images(photos, NAMES, CountingExtractor(5), tmp_path / "other.h5")
    with pytest.raises(RecipeError, match=r"features is '.*', expected '"):
        match_pairs(tmp_path / "other.h5", PAIRS, tmp_path / "m.h5")


def test_a_pair_without_features_is_named_and_the_others_kept(
    features: Path, tmp_path: Path
) -> None:
    pairs = [PAIRS[0], ("a.png", "gone.png"), PAIRS[1]]
    with pytest.raises(MissingNameError, match=r"'gone.png' is not in .*f.h5"):
        match_pairs(features, pairs, tmp_path / "m.h5")
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == PAIRS[:1]


def test_names_that_hloc_cannot_tell_apart_are_refused(features: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'a-b.png' and 'a/b.png' share one name"):
        match_pairs(features, [("a/b.png", "a-b.png")], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_a_photo_without_keypoints_passes_every_stage(photos: Path, tmp_path: Path) -> None:
    write_image(photos / "black.png", np.zeros((60, 80, 3), np.uint8))
    extract_images(photos, ["a.png", "black.png"], CountingExtractor(), tmp_path / "f.h5")
    pairs = [("a.png", "black.png"), ("black.png", "a.png")]
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "m.h5")
    with FeatureStore(tmp_path / "f.h5") as features, MatchStore(tmp_path / "m.h5") as matches:
        assert len(features["black.png"]) == 0
        assert len(matches["a.png", "black.png"]) == 0


def test_nothing_to_do_makes_empty_stores(photos: Path, tmp_path: Path) -> None:
    assert extract_images(photos, [], CountingExtractor(), tmp_path / "f.h5") == []
    match_pairs(tmp_path / "f.h5", [], tmp_path / "m.h5")
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == []


# elsewhere


def test_another_process_gives_the_same_stores(
    photos: Path, features: Path, tmp_path: Path
) -> None:
    """What the loops give to an engine can be sent away, errors included."""
    match_pairs(features, PAIRS, tmp_path / "m.h5")
    (photos / "broken.png").write_text("not a picture")
    engine = OtherProcess()
    there = tmp_path / "there.h5"
    names = [*NAMES, "broken.png"]
    extractor = CountingExtractor()
    skipped = extract_images(photos, names, extractor, there, engine=engine)
    assert skipped == ["broken.png"]
    assert extractor.asked == []  # not here
    match_pairs(there, PAIRS, tmp_path / "there_m.h5", engine=engine)
    assert there.read_bytes() == features.read_bytes()
    assert (tmp_path / "there_m.h5").read_bytes() == (tmp_path / "m.h5").read_bytes()


def test_the_keywords_of_01(features: Path, tmp_path: Path) -> None:
    from dift_geo import pipeline

    assert pipeline.extract_images is extract_images
    pipeline.match_pairs(features, PAIRS, tmp_path / "m.h5", ratio=0.9, min_similarity=0.5)
    options = MatchOptions(ratio=0.9, min_similarity=0.5)
    match_pairs(features, PAIRS, tmp_path / "m.h5", options)  # the same recipe
    with MatchStore(tmp_path / "m.h5") as store:
        found: list[Matches] = [store[pair] for pair in PAIRS]
    assert all(len(matches) and matches.scores.min() >= 0.5 for matches in found)


# photos that are turned back


class Noting(CountingExtractor):
    """Notes how the photos it is given stand."""

    straighten = Straighten("zoom", None)

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[str, Turn | None] = {}

    def extract(self, image, name, *, mask=None, turn=None) -> Features:
        self.turns[name] = turn
        return super().extract(image, name)


@pytest.fixture
def turned_photos(tmp_path: Path, texture) -> Path:
    """Three of one scene, the second of them turned by a quarter."""
    folder = tmp_path / "turned"
    scene = texture((320, 240), 3)
    for i, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, np.rot90(scene, -1 if i == 1 else 0))
    return folder


def test_turned_photos_are_turned_back(turned_photos: Path, tmp_path: Path) -> None:
    extractor = Noting()
    extract_images(turned_photos, NAMES, extractor, tmp_path / "f.h5")
    a, b, c = (extractor.turns[name] for name in NAMES)
    assert abs(a.roll) < 0.02
    assert abs(c.roll) < 0.02
    assert b.roll == pytest.approx(np.pi / 2, abs=0.05)  # clockwise is from +x towards +y
    with FeatureStore(tmp_path / "f.h5") as store:
        assert [store.turn(name) for name in NAMES] == [a, b, c]


def test_photos_that_come_later_are_told_from_those_that_are_there(
    turned_photos: Path, tmp_path: Path
) -> None:
    first, later = Noting(), Noting()
    extract_images(turned_photos, NAMES[1:2], first, tmp_path / "f.h5")
    assert first.turns == {"b.png": Turn()}
    extract_images(turned_photos, NAMES, later, tmp_path / "f.h5")
    assert later.turns.keys() == {"a.png", "sub/c.png"}
    assert later.turns["a.png"].roll == pytest.approx(-np.pi / 2, abs=0.05)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.turn("b.png") == Turn()


def test_a_photo_that_cannot_be_read_has_no_turn(turned_photos: Path, tmp_path: Path) -> None:
    (turned_photos / "a.png").write_bytes(b"no picture")
    extractor = Noting()
    assert extract_images(turned_photos, NAMES, extractor, tmp_path / "f.h5") == ["a.png"]
    assert extractor.turns.keys() == {"b.png", "sub/c.png"}


def test_extractors_that_do_not_straighten_are_told_nothing(features: Path) -> None:
    with FeatureStore(features) as store:
        assert store.turn("a.png") is None
        with pytest.raises(MissingNameError):
            store.turn("z.png")
