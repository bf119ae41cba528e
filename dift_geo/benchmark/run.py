"""From a folder and the name of a protocol to a task, and the evaluation of homographies in one
call. The only file that knows which tasks there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from dift_geo.benchmark.homography.data import Benchmark, read_benchmark
from dift_geo.benchmark.homography.protocols import Protocol, protocol_named
from dift_geo.benchmark.homography.task import Homographies
from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.methods import AnyMethod
from dift_geo.benchmark.results import Evaluation
from dift_geo.geometry.robust import Estimator
from dift_geo.types import Features

__all__ = ["evaluate", "open_task"]


def open_task(
    folder: str | Path,
    protocol: str,
    *,
    estimator: Estimator | None = None,
    max_error_px: float | Literal["best"] | None = None,
    sequences: Sequence[str] | None = None,
    include_large: bool = False,
    seed: int = 0,
) -> Homographies:
    """The task of a protocol on a folder of data.

    folder: the data, in the layout of the protocol.
    protocol: its name.
    estimator, max_error_px: instead of the protocol's, see `Protocol.with_estimator`.
    sequences: names or patterns of those to take; None takes all.
    include_large: also the sequences that protocols leave out.
    seed: of RANSAC.
    """
    chosen = protocol_named(protocol).with_estimator(estimator, max_error_px)
    benchmark = read_benchmark(folder, sequences=sequences, include_large=include_large)
    return Homographies(benchmark, chosen, seed)


def evaluate(
    benchmark: Benchmark,
    out: str | Path,
    methods: Sequence[AnyMethod[Features]],
    protocol: Protocol,
    *,
    cache: str | Path | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    draws: int = 1000,
    pictures: int = 3,
    device: str = "cpu",
    command: str | None = None,
) -> Evaluation:
    """Score methods on homographies and write results.json, results.md, pairs.csv and pictures into
    `out`. The first method is the reference of the differences.

    cache: folder of the feature and match stores, default OUT/cache; one may serve many runs.
    groups: named sets of sequences that get tables of their own besides all, i and v.
    seed: of RANSAC and of the resampling.
    draws: resamples behind the intervals.
    pictures: best and worst pairs drawn per method; 0 draws nothing.
    device: where matching runs.
    command: what the results say they were made by; default: the command line of this process.

    Raises InputError when methods share a name or no pair is usable; what is wrong with single
    pairs is in the results. `evaluate_task` does the same for any task.
    """
    return evaluate_task(
        Homographies(benchmark, protocol, seed),
        out,
        methods,
        cache=cache,
        groups=groups,
        draws=draws,
        pictures=pictures,
        device=device,
        command=command,
    )
