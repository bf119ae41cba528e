"""The rows of several methods on the same items, and all the numbers made of them as plain data:
what results.json, results.md and the CSV of a run hold.

Shares are fractions in [0, 1] in JSON and CSV, per cent in Markdown. Knows no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dift_geo.benchmark.measures import measure_as_data
from dift_geo.benchmark.rows import write_rows
from dift_geo.benchmark.table import Bootstrap, Samples, ScoreTable
from dift_geo.benchmark.task import Layout
from dift_geo.errors import InputError
from dift_geo.recipe import installed_versions, write_json, write_whole
from dift_geo.report.markdown import as_markdown
from dift_geo.report.pictures import GALLERY, PICTURES

__all__ = ["Evaluation", "tables_of_groups", "versions"]

Data = dict[str, Any]  # as JSON holds it
PACKAGES = (
    "dift-geo",
    "torch",
    "kornia",
    "numpy",
    "opencv-python-headless",
    "pycolmap",
    "poselib",
    "diffusers",
    "h5py",
)


def versions() -> dict[str, str]:
    """Versions of everything that can move a number."""
    return installed_versions(PACKAGES)


def tables_of_groups(
    groups: Sequence[str],
    own: Mapping[str, Sequence[str]],
    named: Mapping[str, Sequence[str]] | None = None,
    reserved: Sequence[str] = (),
) -> dict[str, list[str]]:
    """The tables of a run, `all` first: name -> the groups it holds. Empty ones are left out.

    groups: what was scored.
    own: the task's tables.
    named: the user's. Raises InputError for one that holds a group that was not scored, or whose
        name is taken.
    reserved: further names that are taken.
    """
    found = {"all": list(groups), **{name: list(members) for name, members in own.items()}}
    for table, members in (named or {}).items():
        unknown = [name for name in members if name not in groups]
        if unknown or table in found or table in (*reserved, "intervals"):
            raise InputError(
                f"group {table!r} cannot hold {unknown or 'a reserved name'}; "
                f"scored were {', '.join(groups)}"
            )
        found[table] = list(members)
    return {table: members for table, members in found.items() if members}


@dataclass(frozen=True)
class Evaluation:
    """A finished run. The first method is the reference of the differences.

    protocol: name of the definition.
    source: where it comes from.
    layout: how the numbers are shown.
    tables: name of a method -> its rows, on the same items for all.
    groups: name of a table -> the groups it holds; `all` is one of them.
    about: dataset, problems, excluded, command, recipe, versions.
    draws, seed: of the resampling.
    """

    protocol: str
    source: str
    layout: Layout
    tables: Mapping[str, ScoreTable]
    groups: Mapping[str, Sequence[str]]
    about: Mapping[str, object]
    draws: int = 1000
    seed: int = 0

    @cached_property
    def results(self) -> Data:
        """Everything as plain data: what results.json holds."""
        first = next(iter(self.tables.values()))
        layout = self.layout
        methods: Data = {name: {} for name in self.tables}
        differences: Data = {}
        for group in self.groups:
            self._add_group(group, methods, differences)
        if layout.by_group:
            for name, table in self.tables.items():
                methods[name][layout.groups] = {
                    group: self._summary(table.only([group])) for group in table.groups
                }
        return {
            "protocol": self.protocol,
            "source": self.source,
            "unit": f"shares in [0, 1]; counts are means per {layout.item}; "
            f"intervals are 95 % over {layout.groups}",
            layout.groups: len(first.groups),
            layout.items: len(first),
            "groups": self.groups,
            "methods": methods,
            "differences": differences,
            **self.about,
            "bootstrap": {"draws": self.draws, "seed": self.seed},
            "layout": layout.as_data(),
            "measures": {name: measure_as_data(own) for name, own in first.measures.items()},
        }

    def _add_group(self, group: str, methods: Data, differences: Data) -> None:
        """The numbers of one table, with intervals and differences to the first method."""
        bootstrap = Bootstrap(self.groups[group], self.draws, self.seed)
        parts = {name: table.only(self.groups[group]) for name, table in self.tables.items()}
        samples = {name: bootstrap.samples(part) for name, part in parts.items()}
        for name, part in parts.items():
            methods[name][group] = self._summary(part)
            intervals = methods[name].setdefault("intervals", {})
            intervals[group] = bootstrap.intervals(samples[name])
        reference, *others = self.tables
        for name in others:
            own = (methods[name][group], samples[name])
            base = (methods[reference][group], samples[reference])
            gaps = differences.setdefault(f"{name} - {reference}", {})
            gaps[group] = _gap(bootstrap, own, base)

    def _summary(self, table: ScoreTable) -> dict[str, float]:
        found = table.summary()
        return {**found, self.layout.items: float(len(table))} if found else found

    def markdown(self) -> str:
        """The tables for people."""
        return as_markdown(self.results)

    def save(self, out: str | Path) -> None:
        """Write results.json, results.md and the CSV of the rows into the folder `out`.

        Pictures of an earlier run into it show other rows, and are not taken for those of this one.
        """
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        Path(out, PICTURES, GALLERY).unlink(missing_ok=True)
        write_json(out / "results.json", self.results)
        write_whole(out / "results.md", self.markdown().encode())
        rows = {name: table.rows for name, table in self.tables.items()}
        write_rows(out / self.layout.file, rows, self.layout)


def _gap(
    bootstrap: Bootstrap,
    own: tuple[Mapping[str, float], Samples],
    base: tuple[Mapping[str, float], Samples],
) -> Data:
    """What a method has more than the reference, of every number, with its interval."""
    return {
        name: {"difference": own[0][name] - base[0][name], "interval": interval}
        for name, interval in bootstrap.differences(own[1], base[1]).items()
    }
