"""From rows to numbers with intervals, against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from dift_geo.benchmark.measures import (
    Area,
    Average,
    Mean,
    MeanOfKinds,
    Measure,
    NoAnswer,
    Pooled,
    Ratio,
    Within,
)
from dift_geo.benchmark.table import Bootstrap, ScoreTable
from dift_geo.benchmark.task import Row

AREAS: dict[str, Measure] = {f"auc@{limit}": Area("error", limit) for limit in (1, 3, 5)}
MEASURES: Mapping[str, Measure] = {
    **{f"acc@{limit}": Within("error", limit) for limit in (1, 3, 5)},
    "good": Ratio("right", "matches"),
    "matches": Mean("matches"),
    "failed": NoAnswer("error"),
    **AREAS,
    "maa": Average(tuple(AREAS)),
    "pooled": Pooled("right", "matches"),
    "by kind": MeanOfKinds("right", "matches"),
}


def table(errors, groups) -> ScoreTable:
    """Rows with these errors; the number of matches grows by one from row to row."""
    rows = [
        Row(group, str(i), {"error": error, "right": min(i, 2), "matches": i}, kind=group)
        for i, (error, group) in enumerate(zip(errors, groups))
    ]
    return ScoreTable(tuple(rows), MEASURES)


def test_summary_by_hand():
    summary = table([0.5, 2, 4, np.inf], ["i_a", "i_a", "v_b", "v_b"]).summary()
    assert [summary[f"acc@{t}"] for t in (1, 3, 5)] == [0.25, 0.5, 0.75]
    assert summary["good"] == pytest.approx((0 + 1 + 1 + 2 / 3) / 4)  # no matches count as 0
    assert summary["matches"] == 1.5
    assert summary["failed"] == 0.25
    # curve (0,0) (0.5,.25) (1,.25): trapezoids 0.0625 + 0.125
    assert summary["auc@1"] == pytest.approx(0.1875)
    assert summary["maa"] == pytest.approx(np.mean([summary[f"auc@{t}"] for t in (1, 3, 5)]))
    assert summary["pooled"] == pytest.approx(5 / 6)
    assert summary["by kind"] == pytest.approx((1 / 1 + 4 / 5) / 2)
    assert list(summary) == list(MEASURES)


def test_bootstrap_equals_resampling_by_hand():
    groups = ["a", "a", "b", "c", "c", "c"]
    scores = table([0.2, 0.9, 2, 4, np.inf, 2.5], groups)
    bootstrap = Bootstrap(["a", "b", "c"], draws=20, seed=3)
    samples = bootstrap.samples(scores)
    assert list(samples) == list(MEASURES)
    picks = np.random.default_rng(3).integers(0, 3, (20, 3))
    for draw, pick in enumerate(picks):
        rows = [row for i in pick for row in scores.rows if row.group == "abc"[i]]
        expected = ScoreTable(tuple(rows), MEASURES).summary()
        for name, number in expected.items():
            assert samples[name][draw] == pytest.approx(number), (name, draw)
    interval = bootstrap.intervals(samples)["acc@3"]
    assert interval == np.percentile(samples["acc@3"], [2.5, 97.5]).tolist()


def test_differences_are_paired():
    sequences = [f"v_{i}" for i in range(12)]
    errors = np.linspace(0.1, 8, 12)
    bootstrap = Bootstrap(sequences, draws=200)
    base, same, better = (
        bootstrap.samples(table(e, sequences)) for e in (errors, errors, errors / 2)
    )
    assert bootstrap.differences(same, base)["acc@3"] == [0, 0]  # unpaired it would be wide
    low, high = bootstrap.differences(better, base)["acc@3"]
    assert 0 < low <= 4 / 12 <= high
    assert Bootstrap(["v_0"]).intervals(base)["acc@3"] is None


def test_no_rows_have_no_numbers():
    assert ScoreTable((), MEASURES).summary() == {}


@pytest.mark.parametrize("draws", [0, -1])
def test_refuses_a_number_of_resamples_that_gives_no_interval(draws):
    with pytest.raises(ValueError, match="expected at least 1"):
        Bootstrap(["a", "b"], draws=draws)
