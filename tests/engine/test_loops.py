"""The resumable loops, with a detector that counts its calls."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.detectors.sift import Sift
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.extractor import Extractor, build_extractor
from dift_geo.images import write_image
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.errors import RecipeError


class CountingSift(Sift):
    calls = 0

    def detect(self, image, name=""):
        CountingSift.calls += 1
        return super().detect(image)


@pytest.fixture
def extractor():
    CountingSift.calls = 0
    sift = CountingSift(max_keypoints=100)
    return Extractor(sift, [sift], 256)


@pytest.fixture
def photos(tmp_path, texture):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "sub/c.png")):
        write_image(folder / name, texture((160, 120), i))
    return folder


NAMES = ["a.png", "b.png", "sub/c.png"]


def test_second_run_does_nothing_again(photos, extractor, tmp_path):
    assert extract_images(photos, NAMES[:2], extractor, tmp_path / "f.h5") == []
    before = (tmp_path / "f.h5").read_bytes()
    extract_images(photos, NAMES[:2], extractor, tmp_path / "f.h5")
    assert CountingSift.calls == 2
    assert (tmp_path / "f.h5").read_bytes() == before
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")  # one more photo
    assert CountingSift.calls == 3
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == NAMES


def test_interrupted_run_keeps_what_is_done(photos, extractor, tmp_path, monkeypatch):
    def interrupt(image, name):
        if name == "b.png":
            raise KeyboardInterrupt
        return Extractor.extract(extractor, image, name)

    object.__setattr__(extractor, "extract", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract_images(photos, NAMES, extractor, tmp_path / "f.h5")
    object.__delattr__(extractor, "extract")
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")
    assert CountingSift.calls == 3  # `a` was not done again
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == NAMES
        whole = extractor.extract(__import__("dift_geo").read_image(photos / "a.png"), "a.png")
        np.testing.assert_array_equal(store["a.png"].keypoints.xy, whole.keypoints.xy)


def test_unreadable_photos_are_skipped_or_stop(photos, extractor, tmp_path, caplog):
    (photos / "b.png").write_text("not a picture")
    assert extract_images(photos, NAMES, extractor, tmp_path / "f.h5") == ["b.png"]
    assert "b.png" in caplog.text
    with pytest.raises(ValueError, match=r"b\.png"):
        extract_images(photos, NAMES, extractor, tmp_path / "strict.h5", strict=True)


def test_other_settings_are_refused(photos, extractor, tmp_path):
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")
    with pytest.raises(RecipeError, match=r"detector.max_keypoints is 100, expected 50"):
        extract_images(
            photos,
            NAMES,
            build_extractor(descriptor="rootsift", max_keypoints=50, size=256),
            tmp_path / "f.h5",
        )


def test_matches_equal_direct_matching(photos, extractor, tmp_path):
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")
    pairs = [("a.png", "b.png"), ("sub/c.png", "a.png")]
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "m.h5", ratio=0.95)
    with FeatureStore(tmp_path / "f.h5") as features, MatchStore(tmp_path / "m.h5") as matches:
        for a, b in pairs:
            expected = match_mutual_nn(features[a].descriptors, features[b].descriptors, ratio=0.95)
            np.testing.assert_array_equal(matches[a, b].pairs, expected.pairs)
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "m.h5", ratio=0.95)  # nothing left to do
    with pytest.raises(RecipeError, match=r"matcher.ratio is 0.95, expected None"):
        match_pairs(tmp_path / "f.h5", pairs, tmp_path / "m.h5")


def test_names_that_hloc_cannot_tell_apart_are_refused(tmp_path, photos, extractor):
    extract_images(photos, NAMES, extractor, tmp_path / "f.h5")
    with pytest.raises(ValueError, match=r"'a-b.png' and 'a/b.png' share one name"):
        match_pairs(tmp_path / "f.h5", [("a/b.png", "a-b.png")], tmp_path / "m.h5")


def test_photo_without_keypoints_passes_every_stage(photos, extractor, tmp_path):
    write_image(photos / "black.png", np.zeros((120, 160, 3), np.uint8))
    names = ["a.png", "black.png"]
    extract_images(photos, names, extractor, tmp_path / "f.h5")
    match_pairs(tmp_path / "f.h5", [("a.png", "black.png")], tmp_path / "m.h5")
    with FeatureStore(tmp_path / "f.h5") as features, MatchStore(tmp_path / "m.h5") as matches:
        assert len(features["black.png"]) == 0
        assert len(matches["a.png", "black.png"]) == 0
