"""From the scores of pairs to numbers with intervals.

Averages count every pair once. Intervals come from resampling whole sequences, because the five
pairs of a sequence share an image and a scene and are no independent evidence. Knows no protocol
beyond its thresholds and no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.homography.protocols import THRESHOLDS_PX
from dift_geo.benchmark.homography.score import PairScore
from dift_geo.geometry.curves import auc

__all__ = ["Bootstrap", "ScoreTable"]

Interval = list[float]  # low, high


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one method as columns, a row per pair. auc_px: thresholds of the protocol."""

    rows: tuple[PairScore, ...]
    auc_px: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sequences(self) -> list[str]:
        return list(dict.fromkeys(row.sequence for row in self.rows))

    def only(self, sequences: Sequence[str]) -> ScoreTable:
        """The rows of these sequences."""
        wanted = set(sequences)
        return ScoreTable(tuple(row for row in self.rows if row.sequence in wanted), self.auc_px)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Everything that is averaged over pairs: name -> (P,)."""
        corner = self.corner_px
        matches = np.array([row.matches for row in self.rows], np.float64)
        correct = np.array([row.correct for row in self.rows], np.float64).reshape(
            -1, len(THRESHOLDS_PX)
        )
        found: dict[str, NDArray[np.float64]] = {}
        for limit in THRESHOLDS_PX:
            found[f"acc@{limit}"] = (corner <= limit).astype(np.float64)
        for i, limit in enumerate(THRESHOLDS_PX):
            found[f"mma@{limit}"] = correct[:, i] / np.maximum(matches, 1)
        for i, limit in enumerate(THRESHOLDS_PX):
            found[f"correct@{limit}"] = correct[:, i]
        found["matches"] = matches
        found["inliers"] = np.array([row.inliers for row in self.rows], np.float64)
        found["failed"] = (~np.isfinite(corner)).astype(np.float64)
        if self.has_extras:
            precision = np.array([row.precision for row in self.rows])
            found["prec@1"], found["prec@3"] = precision.T
        return found

    @property
    def has_extras(self) -> bool:
        """Whether the pairs carry glue-factory's own measures."""
        return bool(self.rows) and not np.isnan(self.rows[0].precision[0])

    @cached_property
    def corner_px(self) -> NDArray[np.float64]:
        """Corner error of every pair, infinite for failures: (P,)."""
        return np.array([row.corner_px for row in self.rows], np.float64)

    @cached_property
    def dlt_corner_px(self) -> NDArray[np.float64]:
        """The same for the direct linear transform; NaN where the protocol has none."""
        return np.array([row.dlt_corner_px for row in self.rows], np.float64)

    def areas(self) -> dict[str, float]:
        """Areas under the accuracy curve: `auc@T`, their mean `maa`, and with extras `auc_dlt@T`."""
        found = dict(zip((f"auc@{t}" for t in self.auc_px), auc(self.corner_px, self.auc_px)))
        found["maa"] = float(np.mean(list(found.values())))
        if self.has_extras:
            found |= dict(
                zip((f"auc_dlt@{t}" for t in self.auc_px), auc(self.dlt_corner_px, self.auc_px))
            )
        return found

    def summary(self) -> dict[str, float]:
        """Every number of this table: shares in [0, 1], counts as means per pair. No pairs give an
        empty dict.
        """
        if not self.rows:
            return {}
        means = {name: float(column.mean()) for name, column in self.columns().items()}
        return {**means, **self.areas(), "pairs": float(len(self))}


class Bootstrap:
    """Resamples of the sequences, the same for every method, so that differences between methods
    are paired.

    draws: number of resamples. Percentile intervals at 95 %. One sequence gives no interval.
    """

    def __init__(self, sequences: Sequence[str], draws: int = 1000, seed: int = 0) -> None:
        self.sequences = list(sequences)
        picks = np.random.default_rng(seed).integers(
            0, len(self.sequences), (draws, len(self.sequences))
        )
        # (B, S)
        self.weights = np.stack(
            [np.bincount(pick, minlength=len(self.sequences)) for pick in picks]
        )

    def samples(self, table: ScoreTable) -> dict[str, NDArray[np.float64]]:
        """Every number of `table.summary()` (but the count of pairs) on every resample: name ->
        (B,).
        """
        place = {name: i for i, name in enumerate(self.sequences)}
        sequence = np.array([place[row.sequence] for row in table.rows])  # (P,)
        columns = table.columns()
        values = np.stack(list(columns.values()), 1)  # (P, K)
        sums = np.zeros((len(place), values.shape[1]))
        np.add.at(sums, sequence, values)
        counts = np.bincount(sequence, minlength=len(place))
        means = (self.weights @ sums) / np.maximum(self.weights @ counts, 1)[:, None]
        found = dict(zip(columns, means.T))
        per_pair = self.weights[:, sequence]  # (B, P)
        areas = {f"auc@{t}": resampled_auc(table.corner_px, t, per_pair) for t in table.auc_px}
        areas["maa"] = np.mean(list(areas.values()), axis=0)
        if table.has_extras:
            areas |= {
                f"auc_dlt@{t}": resampled_auc(table.dlt_corner_px, t, per_pair)
                for t in table.auc_px
            }
        return {**found, **areas}

    def intervals(self, samples: Mapping[str, NDArray[np.float64]]) -> dict[str, Interval | None]:
        """95 % interval of each number, or None where there is one sequence only."""
        if len(self.sequences) < 2:
            return dict.fromkeys(samples)
        return {
            name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in samples.items()
        }

    def differences(
        self,
        samples: Mapping[str, NDArray[np.float64]],
        reference: Mapping[str, NDArray[np.float64]],
    ) -> dict[str, Interval | None]:
        """Interval of `samples - reference`, resample by resample."""
        return self.intervals(
            {name: samples[name] - reference[name] for name in samples if name in reference}
        )


def resampled_auc(
    errors: NDArray[np.float64], limit: float, weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`geometry.auc` up to one limit for many resamples at once: (B,).

    errors: (P,). weights: (B, P), how often each resample holds each error. The trapezoids of the
    accuracy curve add up to the area under its steps, the mean of limit - error over errors below
    it, plus half a step's height times the last such error: the first trapezoid at each error is
    half a step taller than the stair below it, and their widths telescope.
    """
    below = np.flatnonzero(errors < limit)
    counts = np.maximum(weights.sum(1), 1)
    drawn = weights[:, below] > 0  # (B, Q)
    last = np.where(drawn, errors[below], 0).max(1, initial=0)
    return (weights[:, below] @ (limit - errors[below]) + last / 2) / counts / limit
