"""Scores methods on a task: prepare them, score the same items with each, leave the results.

Exported features and matches live in stores; scoring reads those alone and runs no network. Knows
tasks, methods and rows by their contracts, and no benchmark in particular.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from dift_geo.benchmark.methods import AnyMethod, Prepared
from dift_geo.benchmark.results import Evaluation, tables_of_groups, versions
from dift_geo.benchmark.table import ScoreTable, check_draws
from dift_geo.benchmark.task import Row, Source, Task
from dift_geo.errors import InputError
from dift_geo.progress import progress as progress_of
from dift_geo.recipe import write_json
from dift_geo.report.pictures import GALLERY, PICTURES, save_pictures, save_rows
from dift_geo.types import MatchSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Scored", "evaluate_task", "score_items", "score_method", "usable_items"]

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Given = TypeVar("Given")


@dataclass(frozen=True)
class Scored(Generic[Item, Given]):
    """A method's answers and what they are worth.

    method: as prepared.
    matches: of the pairs of all items.
    task: the variant that served the method best.
    table: the rows, one per item.
    """

    method: Prepared[Given]
    matches: MatchSource
    task: Task[Item, Given]
    table: ScoreTable

    def recipe(self) -> dict[str, object]:
        """What determines the numbers of this method."""
        return {**self.method.recipe(), **self.task.setting()}


def evaluate_task(
    task: Task[Item, Given],
    out: str | Path,
    methods: Sequence[AnyMethod[Given]],
    *,
    cache: str | Path | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    draws: int = 1000,
    pictures: int = 3,
    device: str = "cpu",
    command: str | None = None,
) -> Evaluation:
    """Score methods on a task and write results.json, results.md, the CSV of the rows and pictures
    into `out`. The first method is the reference of the differences.

    cache: folder of the feature and match stores, default OUT/cache; one may serve many runs.
    groups: tables of their own for these groups, beside all and those of the task.
    draws: resamples behind the intervals, seeded as the task is.
    pictures: best and worst items drawn per method; 0 draws nothing.
    device: where matching runs.
    command: what the results say they were made by; default: the command line of this process.

    Raises InputError when methods share a name, a group was not scored or no item is usable; what
    is wrong with single items is in the results.
    """
    out = Path(out)
    _check(task, methods, groups, draws)
    stores = out / "cache" if cache is None else Path(cache)
    prepared = [method.prepare(task.photos, stores, device) for method in methods]
    items, problems = usable_items(task, prepared)
    scored = {source.name: score_method(task, items, source) for source in prepared}
    names = list(dict.fromkeys(task.group(item) for item in items))
    about = {
        "dataset": str(task.photos.folder.resolve()),
        "problems": [*task.problems, *problems],
        "excluded": list(task.excluded),
        "command": command or shlex.join(sys.argv),
        "recipe": {
            **task.recipe(),
            "seed": task.seed,
            "bootstrap": {"draws": draws, "seed": task.seed, "over": task.layout.groups},
            "methods": {name: own.recipe() for name, own in scored.items()},
        },
        "versions": versions(),
    }
    evaluation = Evaluation(
        task.name,
        task.source,
        task.layout,
        {name: own.table for name, own in scored.items()},
        _tables(task, names, groups),
        about,
        draws,
        task.seed,
    )
    evaluation.save(out)
    if pictures:
        _draw(evaluation, out / PICTURES, items, list(scored.values()), pictures)
    return evaluation


def _check(
    task: Task[Item, Given],
    methods: Sequence[AnyMethod[Given]],
    groups: Mapping[str, Sequence[str]] | None,
    draws: int,
) -> None:
    """Refuse before the work what would fail after it."""
    names = [method.name for method in methods]
    if not methods or len(set(names)) < len(names):
        raise InputError(f"methods are named {names}, expected one or more different names")
    check_draws(draws)
    _tables(task, list(dict.fromkeys(task.group(item) for item in task.items())), groups)


def _tables(
    task: Task[Item, Given], names: Sequence[str], groups: Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    reserved = (task.layout.groups, task.layout.items)
    return tables_of_groups(names, task.groups(names), groups, reserved)


def usable_items(
    task: Task[Item, Given], prepared: Sequence[Prepared[Given]]
) -> tuple[list[Item], list[str]]:
    """The items whose images every method has something for and whose truth has a meaning; a line
    for each problem. Raises InputError where none is left.
    """
    missing: dict[str, str] = {}
    for source in prepared:
        missing |= source.missing
    words = task.layout.items
    problems = [
        f"{name} {reason}; its {words} are left out" for name, reason in sorted(missing.items())
    ]
    usable = []
    for item in task.items():
        if any(name in missing for name in task.images(item)):
            continue
        obstacle = task.obstacle(item, prepared[0].features)
        if obstacle is None:
            usable.append(item)
        else:
            problems.append(obstacle)
    if not usable:
        reasons = "; ".join([*task.problems, *problems][:3])
        raise InputError(f"no usable {task.layout.item} in {task.photos.folder}: {reasons}")
    return usable, problems


def score_method(
    task: Task[Item, Given], items: Sequence[Item], method: Prepared[Given]
) -> Scored[Item, Given]:
    """The scores of a method, under the variant of the task that serves it best."""
    matches = method.match(list(chain.from_iterable(task.pairs(item) for item in items)))
    best: Scored[Item, Given] | None = None
    highest = -float("inf")
    for variant in task.variants():
        rows = score_items(variant, items, method.features, matches, progress=method.name)
        table = ScoreTable(tuple(rows), variant.measures)
        number = table.summary()[variant.best_by]
        if best is None or number > highest:
            best, highest = Scored(method, matches, variant, table), number
    assert best is not None
    return best


def score_items(
    task: Task[Item, Given],
    items: Sequence[Item],
    features: Source[Given],
    matches: MatchSource,
    *,
    progress: str | None = None,
) -> list[Row]:
    """The rows of some items. progress: what the bar is called; None shows no bar."""
    shown = progress is not None
    bar = progress_of(items, f"score {progress}", unit=task.layout.item, shown=shown)
    return [task.score(item, features, matches) for item in bar]


def _draw(
    evaluation: Evaluation,
    out: Path,
    items: Sequence[Item],
    scored: Sequence[Scored[Item, Given]],
    count: int,
) -> None:
    """Curves, bars, and each method's best and worst items with a list of them; a line instead
    where there is no plotting library.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        logger.warning("no pictures: they need matplotlib, pip install 'dift-geo[viz]'")
        return
    save_pictures(evaluation.results, out)
    drawn = [one for own in scored for one in _draw_method(out, items, own, count)]
    write_json(out / GALLERY, {"pictures": drawn})


def _draw_method(
    out: Path, items: Sequence[Item], scored: Scored[Item, Given], count: int
) -> list[dict[str, object]]:
    """The pictures of a method in a folder of its name, each as the list has it."""
    task, method = scored.task, scored.method
    by_place = {row.place: item for row, item in zip(scored.table.rows, items)}

    def draw(row: Row, axes: Axes) -> None:
        item = by_place[row.place]
        task.draw(method.name, item, method.features, scored.matches, row, axes)

    ordered = task.best_first(scored.table.rows)
    if not ordered:
        return []
    labels = [task.label(by_place[row.place]) for row in ordered]
    drawn = save_rows(list(zip(labels, ordered)), count, out / method.name, draw)
    return [
        {
            "method": method.name,
            "which": which,
            "file": f"{method.name}/{path.name}",
            "group": row.group,
            "item": row.item,
            "values": {column: f"{value:.5g}" for column, value in row.values.items()},
        }
        for which, path, row in drawn
    ]
