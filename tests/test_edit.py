"""Edits carried by maps whose correspondence is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from dift_geo.dift.featuremap import FeatureMap
from dift_geo.edit import carry_edit, edit_layer, laid_over
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.geometry.homography import Homography


def shifted():
    """Maps of 4-pixel cells, the second moved by three cells to the right and one down."""
    values = torch.randn((24, 20, 30), generator=torch.Generator().manual_seed(0))
    moved = values.roll((1, 3), (1, 2))
    return FeatureMap(values, (120, 80)), FeatureMap(moved, (120, 80))


def drawn():
    layer = np.zeros((80, 120, 4), np.uint8)
    layer[20:50, 30:70] = (10, 200, 30, 255)
    return layer


def test_an_edit_moves_with_the_features():
    carried = carry_edit(drawn(), *shifted())
    assert np.allclose(carried.H_1_from_0, [[1, 0, 12], [0, 1, 4], [0, 0, 1]], atol=0.2)
    assert carried.inliers.mean() > 0.9
    expected = np.roll(drawn(), (4, 12), (0, 1))
    assert np.abs(carried.layer[26:52, 44:80].astype(int) - expected[26:52, 44:80]).max() <= 1
    assert not carried.layer[:20].any()
    # no colour of what is transparent comes in at the edge
    edge = carried.layer[carried.layer[:, :, 3] > 0][:, :3]
    assert np.abs(edge.astype(int) - (10, 200, 30)).max() <= 1


def test_no_homography_is_said():
    one = FeatureMap(torch.ones((4, 5, 6)), (120, 80))
    with pytest.raises(NoAnswerError, match="no homography fits the 1000 pixels"):
        carry_edit(drawn(), one, one)


def test_an_edit_is_not_torn(monkeypatch):
    """A homography whose horizon goes through the edit shows a part of it from behind."""
    H = np.array([[1, 0, 0], [0, 1, 0], [0, -1 / 35, 1]])
    torn = Homography(H, np.arange(1000) < 600)
    monkeypatch.setattr("dift_geo.edit.estimate_homography", lambda *_, **__: torn)
    with pytest.raises(NoAnswerError, match="fits 600 of 1000 pixels of the edit tears it apart"):
        carry_edit(drawn(), *shifted())
    # below the edit it may be, and signs of all numbers mean nothing
    for below in (np.diag([1.0, 1, -1]), np.array([[1, 0, 0], [0, 1, 0], [0, -1 / 60, 1]])):
        whole = partial(Homography, below, torn.inliers)
        monkeypatch.setattr("dift_geo.edit.estimate_homography", lambda *_, of=whole, **__: of())
        assert not carry_edit(drawn(), *shifted()).doubtful


def test_few_pixels_that_agree_are_doubtful():
    carried = carry_edit(drawn(), *shifted())
    for share, doubtful in ((499, True), (500, False)):
        assert replace(carried, inliers=np.arange(1000) < share).doubtful is doubtful


def test_layers():
    image = np.full((6, 8, 3), 100, np.uint8)
    edited = image.copy()
    edited[1, 2] = (100, 100, 120)
    layer = edit_layer(edited, image)
    assert np.argwhere(layer[:, :, 3]).tolist() == [[1, 2]]
    assert np.array_equal(laid_over(layer, image), edited)
    half = np.zeros((6, 8, 4), np.uint8)
    half[0, 0] = (200, 0, 0, 51)  # a fifth
    assert laid_over(half, image)[0, 0].tolist() == [120, 80, 80]
    with pytest.raises(InputError, match="draws nothing"):
        edit_layer(image, image)
    with pytest.raises(InputError, match="is 8 x 3, expected 8 x 6"):
        edit_layer(image[:3], image)
