"""The numbers of a benchmark's tables, each defined by the columns it is made of.

A definition is data: it goes into results.json, so that whoever has the rows of a finished run can
compute every number again. Knows no benchmark in particular.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.geometry.curves import auc

__all__ = [
    "Area",
    "Average",
    "Columns",
    "Mean",
    "MeanOfKinds",
    "Measure",
    "NoAnswer",
    "Pooled",
    "Ratio",
    "RowMean",
    "Unit",
    "Whole",
    "Within",
    "measure_as_data",
    "measure_from_data",
]

Unit = Literal["share", "count", "px", "deg"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """The rows of one method as columns.

    numbers: name of a column -> (P,) float64, a number per row.
    kinds: (P,) text, the category of each row; empty where there are none.
    """

    numbers: Mapping[str, Floats]
    kinds: NDArray[np.str_]

    def __getitem__(self, column: str) -> Floats:
        return self.numbers[column]

    def __len__(self) -> int:
        return len(self.kinds)

    def only(self, chosen: NDArray[np.bool_]) -> Columns:
        """The chosen rows."""
        return Columns(
            {name: own[chosen] for name, own in self.numbers.items()}, self.kinds[chosen]
        )


@dataclass(frozen=True)
class Mean:
    """The mean of a column."""

    column: str
    unit: Unit = "count"
    kind: ClassVar[str] = "mean"

    def per_row(self, columns: Columns) -> Floats:
        """(P,) the number of each row."""
        return columns[self.column]


@dataclass(frozen=True)
class Ratio:
    """The mean over rows of one column divided by another; 0 where that one is 0."""

    column: str
    over: str
    unit: Unit = "share"
    kind: ClassVar[str] = "ratio"

    def per_row(self, columns: Columns) -> Floats:
        return columns[self.column] / np.maximum(columns[self.over], 1)


@dataclass(frozen=True)
class Within:
    """The share of rows whose error is at most a limit."""

    column: str
    limit: float
    unit: Unit = "share"
    kind: ClassVar[str] = "within"

    def per_row(self, columns: Columns) -> Floats:
        return (columns[self.column] <= self.limit).astype(np.float64)


@dataclass(frozen=True)
class NoAnswer:
    """The share of rows without a finite error."""

    column: str
    unit: Unit = "share"
    kind: ClassVar[str] = "no answer"

    def per_row(self, columns: Columns) -> Floats:
        return (~np.isfinite(columns[self.column])).astype(np.float64)


@dataclass(frozen=True)
class Area:
    """The area under the share of rows within an error, up to a limit and divided by it."""

    column: str
    limit: float
    unit: Unit = "share"
    kind: ClassVar[str] = "area"

    def value(self, columns: Columns) -> float:
        return auc(columns[self.column], [self.limit])[0]

    def resampled(self, columns: Columns, counts: NDArray[np.int64]) -> Floats:
        """The trapezoids of the curve add up to the area under its steps, the mean of limit - error
        over errors below it, plus half a step's height times the last such error: the first
        trapezoid at each error is half a step taller than the stair below it, and their widths
        telescope.
        """
        errors = columns[self.column]
        below = np.flatnonzero(errors < self.limit)
        total = np.maximum(counts.sum(1), 1)
        drawn = counts[:, below] > 0  # (B, Q)
        last = np.where(drawn, errors[below], 0).max(1, initial=0)
        stairs = counts[:, below] @ (self.limit - errors[below])
        return np.asarray((stairs + last / 2) / total / self.limit)


@dataclass(frozen=True)
class Pooled:
    """The sum of one column divided by the sum of another: points count once, not rows."""

    column: str
    over: str
    unit: Unit = "share"
    kind: ClassVar[str] = "pooled"

    def value(self, columns: Columns) -> float:
        return float(columns[self.column].sum() / max(columns[self.over].sum(), 1))

    def resampled(self, columns: Columns, counts: NDArray[np.int64]) -> Floats:
        return (counts @ columns[self.column]) / np.maximum(counts @ columns[self.over], 1)


@dataclass(frozen=True)
class MeanOfKinds:
    """The mean over categories of `Pooled` among the rows of each; every category counts once.

    A category without a row in a resample does not count in it.
    """

    column: str
    over: str
    unit: Unit = "share"
    kind: ClassVar[str] = "mean of kinds"

    def value(self, columns: Columns) -> float:
        pooled = Pooled(self.column, self.over)
        return float(np.mean([pooled.value(columns.only(rows)) for rows in self._each(columns)]))

    def resampled(self, columns: Columns, counts: NDArray[np.int64]) -> Floats:
        pooled = Pooled(self.column, self.over)
        total = np.zeros(len(counts))
        drawn = np.zeros(len(counts), np.int64)
        for rows in self._each(columns):
            own = counts[:, rows]
            there = own.any(1)
            total += np.where(there, pooled.resampled(columns.only(rows), own), 0)
            drawn += there
        return np.asarray(total / np.maximum(drawn, 1))

    @staticmethod
    def _each(columns: Columns) -> list[NDArray[np.bool_]]:
        return [columns.kinds == kind for kind in np.unique(columns.kinds)]


@dataclass(frozen=True)
class Average:
    """The mean of other numbers of the same table, which come before it."""

    of: tuple[str, ...]
    unit: Unit = "share"
    kind: ClassVar[str] = "average"


RowMean = Mean | Ratio | Within | NoAnswer  # every row has its own; the table shows their mean
Whole = Area | Pooled | MeanOfKinds  # a number of many rows together
Measure = RowMean | Whole | Average
_KINDS: dict[str, Callable[..., Measure]] = {
    cls.kind: cls for cls in (Mean, Ratio, Within, NoAnswer, Area, Pooled, MeanOfKinds, Average)
}


def measure_as_data(measure: Measure) -> dict[str, object]:
    """A definition as JSON holds it."""
    return {"kind": measure.kind, **asdict(measure)}


def measure_from_data(data: Mapping[str, object]) -> Measure:
    """The definition that `measure_as_data` wrote. Raises InputError for another."""
    fields = dict(data)
    cls = _KINDS.get(str(fields.pop("kind", None)))
    if cls is None:
        raise InputError(f"{dict(data)} defines no number, expected one of {', '.join(_KINDS)}")
    plain = {name: tuple(own) if isinstance(own, list) else own for name, own in fields.items()}
    try:
        return cls(**plain)
    except TypeError as error:
        raise InputError(f"{dict(data)} defines no number: {error}") from None
