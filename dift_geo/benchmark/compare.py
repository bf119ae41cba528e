"""Finished runs of one protocol side by side, from their results.json and the CSV of their rows.

Knows no benchmark: how numbers are made of rows stands in the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from dift_geo.benchmark.measures import Measure, measure_from_data
from dift_geo.benchmark.results import Evaluation
from dift_geo.benchmark.rows import read_rows
from dift_geo.benchmark.table import ScoreTable
from dift_geo.benchmark.task import Layout, Row
from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import read_json

__all__ = ["compare_runs"]

Place = tuple[str, str]  # names of a group and of an item in it


@dataclass(frozen=True)
class _Run:
    """What a finished run left."""

    folder: Path
    results: dict[str, Any]
    layout: Layout
    measures: Mapping[str, Measure]
    rows: Mapping[str, Sequence[Row]]


def compare_runs(outs: Sequence[str | Path]) -> Evaluation:
    """The methods of several runs side by side, on the items that all of them scored.

    Methods are named RUN/METHOD where several runs share a name. Raises InputError when the runs
    followed different protocols or have no item in common, MissingFileError when one is not
    finished.
    """
    if not outs:
        raise InputError("there is no run to compare, expected one or more folders")
    runs = [_read(Path(out)) for out in outs]
    first = runs[0]
    shared = _shared(runs)
    tables = {}
    for label, rows in _label_methods(runs).items():
        by_place = {row.place: row for row in rows}
        kept = tuple(by_place[place] for place in shared)
        tables[label] = ScoreTable(kept, first.measures)
    return Evaluation(
        protocol=first.results["protocol"],
        source=first.results["source"],
        layout=first.layout,
        tables=tables,
        groups=_common_groups(runs, {group for group, _ in shared}),
        about=_about(runs),
        draws=first.results["bootstrap"]["draws"],
        seed=first.results["bootstrap"]["seed"],
    )


def _read(folder: Path) -> _Run:
    path = folder / "results.json"
    if not path.is_file():
        raise MissingFileError(
            f"no results.json in {folder}; expected the folder of a finished `dift-geo evaluate`"
        )
    results = read_json(path, "run the evaluation again")
    if "measures" not in results or "layout" not in results:
        raise InputError(
            f"{path} does not say how its numbers are made, as those of version 0.1; "
            "run the evaluation again with --cached"
        )
    layout = Layout.from_data(results["layout"])
    measures = {name: measure_from_data(data) for name, data in results["measures"].items()}
    return _Run(folder, results, layout, measures, read_rows(folder / layout.file, layout))


def _shared(runs: Sequence[_Run]) -> list[Place]:
    """The items that every method of every run has, in the order of the first."""
    protocols = sorted({str(run.results["protocol"]) for run in runs})
    if len(protocols) > 1:
        raise InputError(
            f"the runs follow different protocols ({', '.join(protocols)}); "
            "only one can be compared"
        )
    for run in runs[1:]:
        if run.measures != runs[0].measures:
            raise InputError(
                f"{runs[0].folder} and {run.folder} define their numbers differently; "
                "run the older evaluation again with --cached"
            )
    placed = [_places(rows) for rows in chain.from_iterable(run.rows.values() for run in runs)]
    common = set.intersection(*map(set, placed)) if placed else set()
    if not common:
        names = ", ".join(str(run.folder) for run in runs)
        raise InputError(f"the runs {names} have no {runs[0].layout.item} in common")
    return [place for place in placed[0] if place in common]


def _places(rows: Sequence[Row]) -> list[Place]:
    return [row.place for row in rows]


def _label_methods(runs: Sequence[_Run]) -> dict[str, Sequence[Row]]:
    """The rows of every method by a name: its own where no other run has it, else with its run
    before it.
    """
    count = Counter(chain.from_iterable(run.rows for run in runs))
    labelled: dict[str, Sequence[Row]] = {}
    for run in runs:
        for name, rows in run.rows.items():
            label = name if count[name] == 1 else f"{run.folder.name}/{name}"
            if label in labelled:
                raise InputError(
                    f"the runs cannot be told apart by name: {label} is there twice; "
                    "rename a folder"
                )
            labelled[label] = rows
    return labelled


def _common_groups(runs: Sequence[_Run], shared: set[str]) -> dict[str, list[str]]:
    """The tables that all runs have, of what all scored."""
    found = {}
    for name, members in runs[0].results["groups"].items():
        kept = [group for group in members if group in shared]
        if kept and all(name in run.results["groups"] for run in runs):
            found[name] = kept
    return found


def _about(runs: Sequence[_Run]) -> dict[str, object]:
    results = [run.results for run in runs]
    problems = chain.from_iterable(own["problems"] for own in results)
    return {
        "dataset": ", ".join(dict.fromkeys(own["dataset"] for own in results)),
        "problems": list(dict.fromkeys(problems)),
        "excluded": results[0]["excluded"],
        "command": "; ".join(own["command"] for own in results),
        "recipe": {str(run.folder): run.results["recipe"] for run in runs},
        "versions": results[0]["versions"],
    }
