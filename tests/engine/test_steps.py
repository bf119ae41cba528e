"""What is done to one image and to one pair, without any loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counting import CountingExtractor

from dift_geo.engine.steps import (
    Photo,
    Unreadable,
    describe_photo,
    load_pair,
    match_loaded,
    read_photo,
)
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import write_image
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.store.source import Source
from dift_geo.types import Features


def test_a_photo_is_read_by_its_name(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "sub").mkdir()
    write_image(tmp_path / "sub" / "a.png", picture)
    photo = read_photo(tmp_path, None, "sub/a.png")
    assert isinstance(photo, Photo)
    assert photo.name == "sub/a.png"
    assert photo.source == Source.of(tmp_path / "sub" / "a.png")
    assert photo.mask is None
    np.testing.assert_array_equal(photo.pixels, picture)
    extractor = CountingExtractor()
    described = describe_photo(extractor, photo)
    assert not isinstance(described, Unreadable)
    assert extractor.asked == ["sub/a.png"]
    assert described.source == photo.source
    assert len(described.features) == 20


def test_what_cannot_be_read_is_a_value_and_is_passed_on(tmp_path: Path) -> None:
    photo = read_photo(tmp_path, None, "gone.png")
    assert isinstance(photo, Unreadable)
    assert isinstance(photo.error, MissingFileError)
    extractor = CountingExtractor()
    assert describe_photo(extractor, photo) is photo
    assert extractor.asked == []


def test_a_pair_is_loaded_and_matched_in_its_order(picture: np.ndarray) -> None:
    few, many = CountingExtractor(5), CountingExtractor(9)
    source = {"few": few.extract(picture, ""), "many": many.extract(picture, "")}
    both = load_pair(source, ("many", "few"))
    assert [len(features) for features in both] == [9, 5]
    found = match_loaded(MatchOptions(ratio=0.9), "cpu", both)
    expected = match(both[0].descriptors, both[1].descriptors, MatchOptions(ratio=0.9))
    assert found.count0 == 9
    np.testing.assert_array_equal(found.matches.pairs, expected.pairs)
    with pytest.raises(KeyError, match="gone"):
        load_pair(source, ("many", "gone"))


def test_keypoints_without_descriptors_are_not_matched(picture: np.ndarray) -> None:
    """They would all be alike, and mutual nearest neighbours by their order."""
    features = CountingExtractor(5).extract(picture, "")
    bare = Features(features.keypoints, np.zeros((5, 0), np.float32))
    none = Features(features.keypoints[:0], np.zeros((0, 0), np.float32))
    with pytest.raises(InputError, match="'b' has 5 keypoints without descriptors"):
        load_pair({"a": features, "b": bare}, ("a", "b"))
    both = load_pair({"a": features, "b": none}, ("a", "b"))
    assert both == (features, none)
    found = match_loaded(MatchOptions(), "cpu", both)
    assert (len(found.matches), found.count0) == (0, 5)


def test_descriptors_of_two_kinds_are_not_matched(picture: np.ndarray) -> None:
    features = CountingExtractor(5).extract(picture, "")
    other = Features(features.keypoints, np.ones((5, 7), np.float32))
    with pytest.raises(InputError, match="of 'a' have 16 numbers and those of 'b' 7, expected as"):
        load_pair({"a": features, "b": other}, ("a", "b"))
