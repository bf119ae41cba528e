"""What matching can be asked: ranges and the recipe."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from dift_geo.errors import InputError
from dift_geo.matching.options import MatchOptions


def test_defaults_keep_every_mutual_neighbour() -> None:
    assert MatchOptions() == MatchOptions(ratio=None, min_similarity=None)


@pytest.mark.parametrize("ratio", [0, -0.5, 1.01, math.nan, math.inf])
def test_a_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(InputError, match="ratio"):
        MatchOptions(ratio=ratio)


@pytest.mark.parametrize("cosine", [-1.5, 1.5, math.nan])
def test_a_similarity_that_is_no_cosine_is_refused(cosine: float) -> None:
    with pytest.raises(InputError, match="min_similarity"):
        MatchOptions(min_similarity=cosine)


def test_options_cannot_be_changed_nor_given_by_position() -> None:
    with pytest.raises(FrozenInstanceError):
        MatchOptions().ratio = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError):
        MatchOptions(0.5)  # type: ignore[misc]


def test_the_recipe_is_the_one_of_stores_made_before() -> None:
    assert MatchOptions(ratio=0.95).recipe() == {
        "name": "mutual-nn",
        "ratio": 0.95,
        "min_similarity": None,
    }
