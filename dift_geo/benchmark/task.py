"""The contract of a benchmark: what there is to score, what the score of one thing is, and how the
numbers of all are made of it and shown.

A task is the data together with the definition that scores them. Homographies are the first one;
relative poses, points between objects and masks in videos are others. Knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dift_geo.benchmark.measures import Measure
from dift_geo.errors import InputError
from dift_geo.types import MatchSource, Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curves", "Layout", "Photos", "Row", "Source", "Task"]

Item = TypeVar("Item")
Given = TypeVar("Given")
GivenOut = TypeVar("GivenOut", covariant=True)


@dataclass(frozen=True)
class Row:
    """The score of one item.

    group: what it belongs to and what is resampled as a whole: a sequence, a scene.
    item: what it is called inside its group.
    values: a number per column, as they stand in the CSV, counts as int. An error without an answer
        is infinite, a number that the task does not measure is NaN.
    kind: its category, for means over categories; empty where there are none.
    """

    group: str
    item: str
    values: Mapping[str, float]
    kind: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Names of group and item, which no other row of a method has."""
        return self.group, self.item


@dataclass(frozen=True)
class Curves:
    """A picture of curves, a panel per group of the tables: `metric@limit`, and `tail` behind it,
    over the limits.

    file: name of the picture.
    metric: name of the numbers, without their limit.
    limits: where they are drawn.
    x, y: what the axes are called.
    tail: what the numbers' names end with.
    """

    file: str
    metric: str
    limits: tuple[float, ...]
    x: str
    y: str
    tail: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the numbers of a task are shown. It is data and goes into results.json.

    title: heading of the page.
    note: what else decides the numbers, in a few words: `homographies by lmeds at 3 px`.
    headline: the numbers that the tables show.
    beside: numbers that only the tables of methods show, after those.
    group, item: the word for one of each: `sequence` and `pair`.
    row: the columns of the CSV that hold the names of group and item.
    kind: the column of the CSV that holds the category; empty where there are none.
    by_group: whether the results hold every number of every group too.
    curves: pictures of curves.
    bars: number -> what its axis is called, drawn per group into one picture.
    quoted: published numbers of others, shown beside the rows: name -> number -> value.
    quoted_from: where those were read.
    """

    title: str
    note: str
    headline: tuple[str, ...]
    beside: tuple[str, ...] = ()
    group: str = "sequence"
    item: str = "pair"
    row: tuple[str, str] = ("sequence", "item")
    kind: str = ""
    by_group: bool = True
    curves: tuple[Curves, ...] = ()
    bars: Mapping[str, str] = field(default_factory=dict)
    quoted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quoted_from: str = ""

    def __post_init__(self) -> None:
        if self.bars and not self.by_group:
            raise InputError(f"{self.title} has bars per {self.group}, but no numbers per group")

    @property
    def groups(self) -> str:
        return f"{self.group}s"

    @property
    def items(self) -> str:
        return f"{self.item}s"

    @property
    def file(self) -> str:
        """The CSV of the rows."""
        return f"{self.items}.csv"

    def as_data(self) -> dict[str, object]:
        """As results.json holds it, with the words for many."""
        return {**asdict(self), "groups": self.groups, "items": self.items}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Layout:
        """What `as_data` gave, read from a file. Raises InputError for anything else."""
        known = {f.name for f in fields(cls)}
        try:
            curves = [Curves(**{**own, "limits": tuple(own["limits"])}) for own in data["curves"]]
            plain: dict[str, Any] = {
                name: _fixed(own) for name, own in data.items() if name in known
            }
            return cls(**{**plain, "curves": tuple(curves)})
        except (KeyError, TypeError) as error:
            raise InputError(f"{dict(data)} is no layout of results: {error}") from None


def _fixed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Photos:
    """The images that a task needs.

    folder: where they are.
    names: relative to it.
    protocol: the definition that asks for them, for messages.
    short_side: pixels to which their short side is brought before anybody looks; None leaves them.
    """

    folder: Path
    names: tuple[str, ...]
    protocol: str
    short_side: int | None = None


class Source(Protocol[GivenOut]):
    """Gives what a method found in an image by its name: features, or a map of them."""

    def __getitem__(self, name: str, /) -> GivenOut: ...


class Task(Protocol[Item, Given]):
    """A benchmark. Derive from it: what has a body here is the default.

    Item is what is scored at once: two images with their truth, a video. Given is what a method has
    to give for an image: `Features`, or a map of features.
    """

    @property
    def name(self) -> str:
        """Of the definition, as the user asks for it: `dift`, `megadepth1500`."""
        raise NotImplementedError

    @property
    def source(self) -> str:
        """Where the definition comes from, and what it is, in a sentence without a full stop."""
        raise NotImplementedError

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The numbers of the tables: name -> definition, in the order of the results."""
        raise NotImplementedError

    @property
    def layout(self) -> Layout:
        """How they are shown."""
        raise NotImplementedError

    @property
    def photos(self) -> Photos:
        """The images that every method has to look at."""
        raise NotImplementedError

    @property
    def seed(self) -> int:
        """Of whatever is random in scoring."""
        return 0

    @property
    def problems(self) -> Sequence[str]:
        """One line for whatever of the data is missing or cannot be used."""
        return ()

    @property
    def excluded(self) -> Sequence[str]:
        """What is there and no part of the definition."""
        return ()

    def items(self) -> Sequence[Item]:
        """Everything to be scored, in the order of the rows."""
        raise NotImplementedError

    def images(self, item: Item) -> Sequence[str]:
        """The names of the images that the score of an item needs."""
        raise NotImplementedError

    def pairs(self, item: Item) -> Sequence[Pair]:
        """The pairs of images that have to be matched for it; none by default."""
        return ()

    def label(self, item: Item) -> str:
        """What an item is called in the name of a file."""
        raise NotImplementedError

    def group(self, item: Item) -> str:
        """What it belongs to and what is resampled as a whole."""
        raise NotImplementedError

    def groups(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Tables of their own beside `all`: name -> which of the named groups they hold."""
        return {}

    def obstacle(self, item: Item, features: Source[Given]) -> str | None:
        """Why an item cannot be scored, whatever the method, in one line; None where it can."""
        return None

    def score(self, item: Item, features: Source[Given], matches: MatchSource) -> Row:
        """What a method's answer for an item is worth; no answer is a failure, not an omission."""
        raise NotImplementedError

    def recipe(self) -> dict[str, object]:
        """What determines the numbers beside the methods, as plain data."""
        raise NotImplementedError

    def variants(self) -> Sequence[Task[Item, Given]]:
        """Settings of which each method gets the best by `best_by`; only itself by default."""
        return (self,)

    @property
    def best_by(self) -> str:
        """The number that decides between variants; the first of the headline by default."""
        return self.layout.headline[0]

    def setting(self) -> dict[str, object]:
        """What distinguishes a variant, for the recipe of the method that got it."""
        return {}

    def best_first(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows in the order of their worth, for pictures of both ends; none by default."""
        return ()

    def draw(
        self,
        method: str,
        item: Item,
        features: Source[Given],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """Draw the answer of a method for an item and its score."""
        raise NotImplementedError
