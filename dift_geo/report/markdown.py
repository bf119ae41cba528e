"""The tables of a benchmark run for people, from the plain data of its results.json.

Knows neither benchmarks nor their numbers: what is shown how stands in the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_markdown", "cell_text", "few_words", "setting_words", "unit_of"]

Data = Mapping[str, Any]  # as JSON holds it
FEW = 10  # groups; below, the intervals are said to be rough
SCALE = {"share": (100, 1), "count": (1, 0), "px": (1, 2), "deg": (1, 2)}  # factor, digits


def as_markdown(results: Data) -> str:
    """A page with a table per group of the results, the paired differences and what was left out.

    results: what results.json holds. Shares come in per cent, counts as they are.
    """
    layout = results["layout"]
    lines = [
        f"# {layout['title']}, protocol `{results['protocol']}`",
        "",
        f"{results['source']}.",
        "",
        setting_words(results),
        "",
    ]
    if results[layout["groups"]] < FEW:
        lines += [few_words(layout["groups"]), ""]
    for group in results["groups"]:
        lines += _group_table(results, group)
    if results["differences"]:
        lines += _difference_table(results)
    lines += [f"- left out: {problem}" for problem in results["problems"]]
    if results["excluded"]:
        lines.append(f"- not part of the protocol: {', '.join(results['excluded'])}")
    numbers = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return "\n".join(
        [*lines, "", f"Command: `{results['command']}`", "", f"Versions: {numbers}", ""]
    )


def setting_words(results: Data) -> str:
    """What was scored, how, and what the intervals are, in a sentence or two."""
    layout, bootstrap = results["layout"], results["bootstrap"]
    groups, items = layout["groups"], layout["items"]
    of = "" if groups == items else f" of {results[groups]} {groups}"
    return (
        f"{results[items]} {items}{of} in `{results['dataset']}`; {layout['note']}. "
        f"Shares in per cent with 95 % intervals over {groups} "
        f"({bootstrap['draws']} resamples, seed {bootstrap['seed']})."
    )


def few_words(groups: str) -> str:
    """What intervals over fewer than FEW groups are worth."""
    return (
        f"With so few {groups} the intervals are rough and rather too narrow: "
        "they show the spread, not more."
    )


def _group_table(results: Data, group: str) -> list[str]:
    layout, methods = results["layout"], results["methods"]
    names = [*layout["headline"], *layout["beside"]]
    items = layout["items"]
    first = next(iter(methods.values()))
    count = int(first[group].get(items, 0))
    members = len(results["groups"][group])
    of = "" if layout["groups"] == items else f"{members} {layout['groups']}, "
    lines = [f"## {group} ({of}{count} {items})", "", *_head("method", names)]
    for method, own in methods.items():
        numbers, intervals = own[group], own["intervals"][group]
        cells = [cell_text(unit_of(results, n), numbers[n], intervals[n]) for n in names]
        lines.append(_line(method, cells))
    if group == "all":
        lines += _quoted(results, names)
    return [*lines, ""]


def _quoted(results: Data, names: Sequence[str]) -> list[str]:
    """Rows of published numbers, marked as such, and where they were read. Runs of older versions
    have none.
    """
    layout = results["layout"]
    quoted = layout.get("quoted", {})
    lines = []
    for who, numbers in quoted.items():
        cells = [
            cell_text(unit_of(results, name), numbers[name], None) if name in numbers else ""
            for name in names
        ]
        lines.append(_line(f"*quoted:* {who}", cells))
    if quoted:
        lines += ["", f"Quoted rows were not run here; read from {layout['quoted_from']}."]
    return lines


def _difference_table(results: Data) -> list[str]:
    layout = results["layout"]
    lines = [
        f"## Paired differences, all {layout['groups']}",
        "",
        "An interval that excludes 0 is bold.",
        "",
        *_head("methods", layout["headline"]),
    ]
    for methods, groups in results["differences"].items():
        gaps = [(name, groups["all"][name]) for name in layout["headline"]]
        lines.append(_line(methods, [_gap(unit_of(results, name), gap) for name, gap in gaps]))
    return [*lines, ""]


def _gap(unit: str, gap: Data) -> str:
    interval = gap["interval"]
    text = cell_text(unit, gap["difference"], interval, signed=True)
    sure = interval is not None and (interval[0] > 0 or interval[1] < 0)
    return f"**{text}**" if sure else text


def _head(first: str, names: Sequence[str]) -> list[str]:
    return [_line(first, names), "|---|" + "---|" * len(names)]


def _line(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | " + " | ".join(cells) + " |"


def unit_of(results: Data, name: str) -> str:
    """The unit of a number: a key of SCALE."""
    return str(results["measures"][name]["unit"])


def cell_text(
    unit: str, value: float, interval: Sequence[float] | None, signed: bool = False
) -> str:
    """`54.1 [50.2, 58.0]`: shares in per cent, counts as they are."""
    factor, digits = SCALE[unit]
    sign = "+" if signed else ""
    text = f"{factor * value:{sign}.{digits}f}"
    if interval is None:
        return text
    return f"{text} [{factor * interval[0]:.{digits}f}, {factor * interval[1]:.{digits}f}]"
