"""Rows of `dift-geo evaluate` for protocols that match keypoints: the task that the flags mean and
the methods that they name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, get_args

from dift_geo.cli.flags import take_extractor_options, take_match_options
from dift_geo.errors import InputError

if TYPE_CHECKING:
    from dift_geo.benchmark.methods import AnyMethod, Metric
    from dift_geo.benchmark.task import Task
    from dift_geo.cli.flags import Flags
    from dift_geo.extractor import ExtractorOptions
    from dift_geo.geometry.robust import Estimator
    from dift_geo.matching.options import MatchOptions
    from dift_geo.types import Features

__all__ = ["Opened", "add_rows", "named", "open_geometric"]

Item = TypeVar("Item")
Given = TypeVar("Given")


@dataclass(frozen=True)
class Opened(Generic[Item, Given]):
    """What is scored, and the rows of its tables.

    device: where matching runs.
    """

    task: Task[Item, Given]
    methods: Sequence[AnyMethod[Given]]
    device: str


def add_rows(group: argparse._ArgumentGroup) -> None:
    """Flags of the rows of the tables."""
    from dift_geo.benchmark.methods import Metric

    group.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME[:FLAG=VALUE,...]",
        help="one with the flags above, but for those named",
    )
    group.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="of another program: DIFT's npz files or hloc's HDF5",
    )
    group.add_argument(
        "--matches",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="hloc's, for features of that NAME",
    )
    group.add_argument(
        "--metric", choices=get_args(Metric), default="cosine", help="to match such features by"
    )
    group.add_argument(
        "--keypoints",
        type=Path,
        metavar="DIR",
        help="as --detector listed:DIR, SEQUENCE-K.kp files",
    )
    group.add_argument(
        "--cached",
        action="store_true",
        help="score the stores of the last run into OUT again, load no network",
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What the flags ask for as rows of the tables, in the user's words."""

    method: Sequence[str]
    features: Sequence[str]
    matches: Sequence[str]
    metric: Metric
    cached: bool

    def methods(
        self, out: Path, extractor: ExtractorOptions, matching: MatchOptions
    ) -> list[AnyMethod[Features]]:
        """The methods. out: of an earlier run, where its stores are wanted."""
        from dift_geo.benchmark.methods import stored_methods
        from dift_geo.benchmark.words import method_from_words

        found: list[AnyMethod[Features]] = []
        if self.cached:
            found += stored_methods(out)
        elif self.method or not self.features:
            words = self.method or [_name_of(extractor)]
            found += [method_from_words(word, extractor, matching) for word in words]
        return [*found, *self._foreign(matching)]

    def _foreign(self, matching: MatchOptions) -> list[AnyMethod[Features]]:
        from dift_geo.benchmark.methods import ForeignMethod

        files = named(self.matches)
        found: list[AnyMethod[Features]] = []
        for name, path in named(self.features).items():
            matches = Path(files.pop(name)) if name in files else None
            found.append(ForeignMethod(name, Path(path), matches, self.metric, matching.ratio))
        if files:
            raise InputError(f"--matches names {', '.join(files)}, which no --features names")
        return found


def open_geometric(
    dataset: Path,
    out: Path,
    protocol: str,
    flags: Flags,
    *,
    estimator: Estimator | None,
    max_error: float | Literal["best"] | None,
    sequences: list[str] | None,
    include_large: bool,
    pairs: Path | None,
    max_angle: float | None,
    pairs_per_scene: int | None,
    method: list[str],
    features: list[str],
    matches: list[str],
    metric: Metric,
    cached: bool,
) -> Opened[object, Features]:
    """Homographies or relative poses. flags: those of extractors and of matching."""
    from dift_geo.benchmark.run import open_task

    rows = _Rows(method=method, features=features, matches=matches, metric=metric, cached=cached)
    extractor, matching = _options(protocol, flags)
    task = open_task(
        dataset,
        protocol,
        estimator=estimator,
        max_error_px=max_error,
        sequences=sequences,
        include_large=include_large,
        pairs=pairs,
        max_angle_deg=max_angle,
        pairs_per_scene=pairs_per_scene,
        seed=extractor.seed,
    )
    return Opened(task, rows.methods(out, extractor, matching), extractor.device)


def _options(protocol: str, flags: Flags) -> tuple[ExtractorOptions, MatchOptions]:
    """What holds for every method that says nothing else."""
    from dift_geo.backends.device import pick_device
    from dift_geo.benchmark.run import default_keypoints

    keypoints = flags.pop("keypoints")
    if keypoints is not None:
        flags["detector"] = f"listed:{keypoints}"
    flags["max_keypoints"] = flags["max_keypoints"] or default_keypoints(protocol)
    matching = take_match_options(flags)
    extractor = take_extractor_options(flags)
    return replace(extractor, device=str(pick_device(extractor.device))), matching


def named(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` words by name."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InputError(f"got {text!r}, expected NAME=VALUE")
        found[name] = value
    return found


def _name_of(extractor: ExtractorOptions) -> str:
    """What to call the one method that the flags describe: tiny, tiny-dense, rootsift,
    tiny+rootsift.
    """
    reading = f"-{extractor.reading}" if extractor.reading else ""
    return extractor.descriptor.replace("dift", Path(extractor.backend).name + reading)
