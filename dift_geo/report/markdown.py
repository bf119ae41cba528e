"""What a benchmark run leaves behind: results.json, results.md, pairs.csv; and the comparison of
several runs.

Shares are fractions in [0, 1] in JSON and CSV, per cent in Markdown. Knows scores, not how they
were made.
"""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dift_geo.benchmark.homography.data import kind_of
from dift_geo.benchmark.homography.protocols import THRESHOLDS_PX, Protocol, protocol_named
from dift_geo.benchmark.homography.score import PairScore
from dift_geo.benchmark.table import Bootstrap, Interval, ScoreTable
from dift_geo.errors import InputError, MissingFileError

__all__ = ["Report", "compare_runs", "group_sequences", "run_labels", "versions"]

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
FEW_SEQUENCES = "With so few sequences the intervals are rough and rather too narrow: they show the spread, not more."


def versions() -> dict[str, str]:
    """Versions of everything that can move a number."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def group_sequences(
    sequences: Sequence[str], named: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[str]]:
    """`all`, `i` and `v`, and the named groups of the user; groups without a sequence are left out.

    Raises ValueError when a named group holds a sequence that was not scored, or takes a reserved
    name.
    """
    groups = {"all": list(sequences)}
    for kind in ("i", "v"):
        groups[kind] = [name for name in sequences if kind_of(name) == kind]
    for group, members in (named or {}).items():
        unknown = [name for name in members if name not in sequences]
        if unknown or group in groups or group in ("sequences", "intervals"):
            raise InputError(
                f"group {group!r} cannot hold {unknown or 'a reserved name'}; scored were {', '.join(sequences)}"
            )
        groups[group] = list(members)
    return {group: members for group, members in groups.items() if members}


@dataclass(frozen=True)
class Report:
    """Scores of several methods on the same pairs. The first method is the reference of the
    differences.

    groups: name -> sequences. about: dataset, problems, recipe, versions, command. draws, seed: of
    the resampling.
    """

    protocol: Protocol
    tables: dict[str, ScoreTable]
    groups: dict[str, list[str]]
    about: dict[str, Any]
    draws: int = 1000
    seed: int = 0

    def with_threshold_of(self, method: str) -> Protocol:
        """The protocol with the inlier threshold that was chosen for a method."""
        recipe = self.about["recipe"].get("methods", {}).get(method, {})
        return self.protocol.with_estimator(None, recipe.get("max_error_px"))

    @cached_property
    def results(self) -> dict[str, Any]:
        """Everything as plain data: what results.json holds."""
        methods: dict[str, Any] = {name: {} for name in self.tables}
        differences: dict[str, Any] = {}
        for group, sequences in self.groups.items():
            bootstrap = Bootstrap(sequences, self.draws, self.seed)
            parts = {name: table.only(sequences) for name, table in self.tables.items()}
            samples = {name: bootstrap.samples(part) for name, part in parts.items()}
            for name, part in parts.items():
                methods[name][group] = part.summary()
                methods[name].setdefault("intervals", {})[group] = bootstrap.intervals(
                    samples[name]
                )
            reference, *others = self.tables
            for name in others:
                gap = bootstrap.differences(samples[name], samples[reference])
                base, own = methods[reference][group], methods[name][group]
                differences.setdefault(f"{name} - {reference}", {})[group] = {
                    metric: {"difference": own[metric] - base[metric], "interval": interval}
                    for metric, interval in gap.items()
                }
        for name, table in self.tables.items():
            methods[name]["sequences"] = {
                sequence: table.only([sequence]).summary() for sequence in table.sequences
            }
        first = next(iter(self.tables.values()))
        return {
            "protocol": self.protocol.name,
            "source": self.protocol.source,
            "unit": "shares in [0, 1]; counts are means per pair; intervals are 95 % over sequences",
            "sequences": len(first.sequences),
            "pairs": len(first),
            "groups": self.groups,
            "methods": methods,
            "differences": differences,
            **self.about,
        }

    def save(self, out: str | Path) -> None:
        """Write results.json, results.md and pairs.csv into the folder `out`."""
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(
            json.dumps(self.results, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        (out / "results.md").write_text(self.markdown(), encoding="utf-8")
        write_pairs_csv(out / "pairs.csv", self.tables)

    def markdown(self) -> str:
        """The tables of the protocol, for people."""
        r, p = self.results, self.protocol
        robust = p.ransac
        threshold = (
            f"the best of {p.sweep_px[0]:g} to {p.sweep_px[-1]:g} px per method"
            if p.sweep_px
            else f"{robust.max_error_px:g} px"
        )
        lines = [
            f"# Homography benchmark, protocol `{p.name}`",
            "",
            f"{p.source}.",
            "",
            f"{r['pairs']} pairs of {r['sequences']} sequences in `{r['dataset']}`; homographies by {robust.estimator} at "
            f"{threshold}. Shares in per cent with 95 % intervals over sequences "
            f"({self.draws} resamples, seed {self.seed}).",
            "",
            *([FEW_SEQUENCES, ""] if r["sequences"] < 10 else []),
        ]
        for group in self.groups:
            lines += self._group_table(group)
        if r["differences"]:
            lines += self._difference_table()
        lines += [f"- left out: {problem}" for problem in r["problems"]]
        lines += (
            [f"- not part of the protocol: {', '.join(r['excluded'])}"] if r["excluded"] else []
        )
        lines += ["", f"Command: `{r['command']}`", ""]
        lines += [
            "Versions: " + ", ".join(f"{name} {number}" for name, number in r["versions"].items()),
            "",
        ]
        return "\n".join(lines)

    def _group_table(self, group: str) -> list[str]:
        metrics = [*self.protocol.headline, "failed"]
        count = sum(
            row.sequence in self.groups[group] for row in next(iter(self.tables.values())).rows
        )
        lines = [f"## {group} ({len(self.groups[group])} sequences, {count} pairs)", ""]
        lines += ["| method | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
        for name in self.tables:
            own = self.results["methods"][name]
            cells = [
                _cell(metric, own[group][metric], own["intervals"][group][metric])
                for metric in metrics
            ]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return [*lines, ""]

    def _difference_table(self) -> list[str]:
        metrics = self.protocol.headline
        lines = [
            "## Paired differences, all sequences",
            "",
            "An interval that excludes 0 is bold.",
            "",
        ]
        lines += ["| methods | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
        for name, groups in self.results["differences"].items():
            cells = []
            for metric in metrics:
                gap = groups["all"][metric]
                text = _cell(metric, gap["difference"], gap["interval"], signed=True)
                sure = gap["interval"] is not None and (
                    gap["interval"][0] > 0 or gap["interval"][1] < 0
                )
                cells.append(f"**{text}**" if sure else text)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return [*lines, ""]


def _cell(metric: str, value: float, interval: Interval | None, signed: bool = False) -> str:
    """`54.1 [50.2, 58.0]`: shares in per cent, counts as they are."""
    factor, digits = (
        (1, 0) if metric in ("matches", "inliers") or metric.startswith("correct") else (100, 1)
    )
    sign = "+" if signed else ""
    text = f"{factor * value:{sign}.{digits}f}"
    if interval is None:
        return text
    return f"{text} [{factor * interval[0]:.{digits}f}, {factor * interval[1]:.{digits}f}]"


_CSV_COLUMNS = (
    ["method", "sequence", "index", "matches", "inliers"]
    + [f"correct@{limit}" for limit in THRESHOLDS_PX]
    + ["corner_px", "dlt_corner_px", "prec@1", "prec@3", "ransac_seconds"]
)


def write_pairs_csv(path: Path, tables: Mapping[str, ScoreTable]) -> None:
    """One line per method and pair; from it every number can be recomputed."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_CSV_COLUMNS)
        for name, table in tables.items():
            for row in table.rows:
                ids = [name, row.sequence, row.index, row.matches, row.inliers, *row.correct]
                writer.writerow(
                    [*ids, row.corner_px, row.dlt_corner_px, *row.precision, row.seconds]
                )


def read_pairs_csv(path: Path, auc_px: tuple[int, ...]) -> dict[str, ScoreTable]:
    """What `write_pairs_csv` wrote. Raises FileNotFoundError, or ValueError for another file."""
    if not path.is_file():
        raise MissingFileError(f"no {path}; expected the folder of a finished `dift-geo evaluate`")
    rows: dict[str, list[PairScore]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if next(reader, None) != _CSV_COLUMNS:
            raise InputError(f"{path} has other columns than this version writes; evaluate again")
        for line in reader:
            n = 5 + len(THRESHOLDS_PX)
            corner, dlt, precision1, precision3, seconds = map(float, line[n:])
            rows.setdefault(line[0], []).append(
                PairScore(
                    line[1], int(line[2]), int(line[3]), int(line[4]), tuple(map(int, line[5:n])), corner, seconds, dlt,
                    (precision1, precision3),
                )
            )  # fmt: skip
    return {name: ScoreTable(tuple(own), auc_px) for name, own in rows.items()}


def compare_runs(outs: Sequence[str | Path]) -> Report:
    """The methods of several runs side by side, on the pairs that all of them scored.

    Methods are named RUN/METHOD where several runs share a name. Raises ValueError when the runs
    followed different protocols or have no pair in common.
    """
    folders = [Path(out) for out in outs]
    found = []
    for folder in folders:
        if not (folder / "results.json").is_file():
            raise MissingFileError(
                f"no results.json in {folder}; expected the folder of a finished `dift-geo evaluate`"
            )
        found.append(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    names = {str(result["protocol"]) for result in found}
    if len(names) > 1:
        raise InputError(
            f"the runs follow different protocols ({', '.join(sorted(names))}); only one can be compared"
        )
    protocol = protocol_named(names.pop())
    runs = [read_pairs_csv(folder / "pairs.csv", protocol.auc_px) for folder in folders]
    labels = run_labels(folders, runs)
    shared = set.intersection(
        *(
            {(row.sequence, row.index) for row in table.rows}
            for run in runs
            for table in run.values()
        )
    )
    if not shared:
        raise InputError(f"the runs {', '.join(map(str, folders))} have no pair in common")
    tables = {}
    for own_labels, run in zip(labels, runs):
        for label, table in zip(own_labels, run.values()):
            rows = tuple(
                sorted(
                    (r for r in table.rows if (r.sequence, r.index) in shared),
                    key=lambda r: (r.sequence, r.index),
                )
            )
            tables[label] = ScoreTable(rows, protocol.auc_px)
    sequences = sorted({sequence for sequence, _ in shared})
    settings = found[0]["recipe"]["bootstrap"]
    estimator = found[0]["recipe"]["protocol"]["ransac"]
    about = {
        "dataset": ", ".join(dict.fromkeys(result["dataset"] for result in found)),
        "problems": list(
            dict.fromkeys(problem for result in found for problem in result["problems"])
        ),
        "excluded": found[0]["excluded"],
        "command": "; ".join(result["command"] for result in found),
        "recipe": {str(folder): result["recipe"] for folder, result in zip(folders, found)},
        "versions": found[0]["versions"],
    }
    swept = found[0]["recipe"]["protocol"].get("sweep_px")
    protocol = protocol.with_estimator(
        estimator["estimator"], "best" if swept else estimator["max_error_px"]
    )
    return Report(
        protocol, tables, group_sequences(sequences), about, settings["draws"], settings["seed"]
    )


def run_labels(
    folders: Sequence[Path], runs: Sequence[Mapping[str, ScoreTable]]
) -> list[list[str]]:
    """One name per method: its own where that is unique, else with its run before it."""
    names = [name for run in runs for name in run]
    full = [
        [name if names.count(name) == 1 else f"{folder.name}/{name}" for name in run]
        for folder, run in zip(folders, runs)
    ]
    flat = [label for labels in full for label in labels]
    if len(set(flat)) < len(flat):
        raise InputError(
            f"the runs cannot be told apart by name: {', '.join(sorted(flat))}; rename a folder"
        )
    return full
