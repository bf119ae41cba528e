"""Numbers as data: each by hand, and the way to JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dift_geo.benchmark.measures import (
    Area,
    Average,
    Columns,
    Mean,
    MeanOfKinds,
    NoAnswer,
    Pooled,
    Ratio,
    Within,
    measure_as_data,
    measure_from_data,
)
from dift_geo.geometry.curves import auc


def columns(kinds=("a", "a", "b"), **numbers) -> Columns:
    return Columns({name: np.array(own, float) for name, own in numbers.items()}, np.array(kinds))


@pytest.mark.parametrize(
    "errors", [[], [np.inf, np.inf], [0.0, 0.0, 0.0], [0.5, 0.5, 3, 3, 7, np.inf]]
)
def test_resampled_area_is_the_area_of_the_resample(errors):
    own = columns([""] * len(errors), error=errors)
    counts = np.random.default_rng(0).integers(0, 4, (30, len(errors)))
    for limit in (0.5, 1, 5):
        expected = [auc(np.repeat(errors, count), [limit])[0] for count in counts]
        found = Area("error", limit).resampled(own, counts)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_mean_per_row_a_pooled_mean_and_a_mean_of_categories_differ():
    """The three aggregates of PCK: per image, per point, mean of the categories."""
    own = columns(right=[1, 3, 0], points=[1, 4, 5])
    assert Ratio("right", "points").per_row(own).mean() == pytest.approx((1 + 3 / 4 + 0) / 3)
    assert Pooled("right", "points").value(own) == pytest.approx(4 / 10)
    assert MeanOfKinds("right", "points").value(own) == pytest.approx((4 / 5 + 0) / 2)


def test_a_category_that_a_resample_lacks_does_not_count_in_it():
    own = columns(right=[1, 3, 0], points=[1, 4, 5])
    counts = np.array([[1, 1, 1], [2, 0, 0], [0, 0, 3], [0, 2, 1]])
    found = MeanOfKinds("right", "points").resampled(own, counts)
    np.testing.assert_allclose(found, [(4 / 5 + 0) / 2, 1, 0, (3 / 4 + 0) / 2])
    pooled = Pooled("right", "points").resampled(own, counts)
    np.testing.assert_allclose(pooled, [4 / 10, 1, 0, 6 / 13])


@pytest.mark.parametrize(
    "measure",
    [
        Mean("matches"),
        Mean("error", unit="px"),
        Ratio("right", "matches"),
        Within("error", 3),
        NoAnswer("error"),
        Area("error", 0.5, unit="share"),
        Pooled("right", "points"),
        MeanOfKinds("right", "points"),
        Average(("a", "b")),
    ],
    ids=lambda measure: measure.kind,
)
def test_a_definition_survives_json(measure):
    assert measure_from_data(json.loads(json.dumps(measure_as_data(measure)))) == measure


@pytest.mark.parametrize(
    "data", [{}, {"kind": "median"}, {"kind": "mean"}, {"kind": "mean", "column": "a", "x": 1}]
)
def test_refuses_what_defines_no_number(data):
    with pytest.raises(ValueError, match="defines no number"):
        measure_from_data(data)
