"""From the rows of a benchmark to numbers with intervals.

Averages count every row once. Intervals come from resampling whole groups, because the rows of a
group (the five pairs of a sequence, the pairs of a scene) share images and are no independent
evidence. Knows rows and the definitions of numbers, and no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.measures import Average, Columns, Measure, RowMean
from dift_geo.benchmark.task import Row
from dift_geo.errors import InputError

__all__ = ["Bootstrap", "Interval", "Samples", "ScoreTable", "check_draws"]

Interval = list[float]  # low, high
Samples = dict[str, NDArray[np.float64]]  # name of a number -> (B,), one per resample
LEAST_GROUPS = 2  # one alone gives no interval


@dataclass(frozen=True)
class ScoreTable:
    """The rows of one method, and the numbers that are made of them.

    rows: one per item.
    measures: name -> definition, in the order of the results.
    """

    rows: tuple[Row, ...]
    measures: Mapping[str, Measure]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> list[str]:
        """The names of the groups that have a row, in the order of the rows."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def only(self, groups: Sequence[str]) -> ScoreTable:
        """The rows of these groups."""
        wanted = set(groups)
        return ScoreTable(tuple(row for row in self.rows if row.group in wanted), self.measures)

    @cached_property
    def columns(self) -> Columns:
        """The values of the rows by column."""
        names = self.rows[0].values if self.rows else ()
        return Columns(
            {name: self._column(name) for name in names},
            np.array([row.kind for row in self.rows], np.str_),
        )

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([row.values[name] for row in self.rows], np.float64)

    def per_row(self) -> dict[str, NDArray[np.float64]]:
        """The numbers that are means over rows: name -> (P,), the number of each row."""
        return {
            name: measure.per_row(self.columns)
            for name, measure in self.measures.items()
            if isinstance(measure, RowMean)
        }

    def summary(self) -> dict[str, float]:
        """Every number: shares in [0, 1], counts as means per row; no rows give an empty dict."""
        if not self.rows:
            return {}
        found: dict[str, float] = {}
        for name, measure in self.measures.items():
            if isinstance(measure, RowMean):
                found[name] = float(measure.per_row(self.columns).mean())
            elif isinstance(measure, Average):
                found[name] = float(np.mean([found[other] for other in measure.of]))
            else:
                found[name] = measure.value(self.columns)
        return found


class Bootstrap:
    """Resamples of the groups, the same for every method, so that differences are paired.

    groups: names of what is resampled.
    draws: number of resamples. Intervals are 95 % percentiles; a single group gives none.
    seed: of the resampling.
    """

    def __init__(self, groups: Sequence[str], draws: int = 1000, seed: int = 0) -> None:
        check_draws(draws)
        self.groups = list(groups)
        count = len(self.groups)
        picks = np.random.default_rng(seed).integers(0, count, (draws, count))
        # (B, S)
        self.weights = np.stack([np.bincount(pick, minlength=count) for pick in picks])

    def samples(self, table: ScoreTable) -> Samples:
        """Every number of `table.summary()` on every resample."""
        place = {name: i for i, name in enumerate(self.groups)}
        group = np.array([place[row.group] for row in table.rows])  # (P,)
        found = self._means(table.per_row(), group)
        counts = self.weights[:, group]  # (B, P)
        for name, measure in table.measures.items():
            if isinstance(measure, Average):
                found[name] = np.mean([found[other] for other in measure.of], axis=0)
            elif not isinstance(measure, RowMean):
                found[name] = measure.resampled(table.columns, counts)
        return {name: found[name] for name in table.measures}

    def _means(self, per_row: Mapping[str, NDArray[np.float64]], group: NDArray) -> Samples:
        if not per_row:
            return {}
        values = np.stack(list(per_row.values()), 1)  # (P, K)
        sums = np.zeros((len(self.groups), values.shape[1]))
        np.add.at(sums, group, values)
        counts = np.bincount(group, minlength=len(self.groups))
        means = (self.weights @ sums) / np.maximum(self.weights @ counts, 1)[:, None]
        return dict(zip(per_row, means.T))

    def intervals(self, samples: Mapping[str, NDArray]) -> dict[str, Interval | None]:
        """95 % interval of each number, or None where there is one group only."""
        if len(self.groups) < LEAST_GROUPS:
            return dict.fromkeys(samples)
        return {
            name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in samples.items()
        }

    def differences(
        self, samples: Mapping[str, NDArray], reference: Mapping[str, NDArray]
    ) -> dict[str, Interval | None]:
        """Interval of `samples - reference`, resample by resample."""
        return self.intervals(
            {name: samples[name] - reference[name] for name in samples if name in reference}
        )


def check_draws(draws: int) -> None:
    """Raise InputError where so many resamples give no interval."""
    if draws < 1:
        raise InputError(f"the number of resamples is {draws}, expected at least 1")
