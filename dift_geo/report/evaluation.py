"""The page of an evaluation: `OUT` of `dift-geo evaluate` in, `OUT/report.html` out.

All of it is made of results.json and of the pictures that the run drew, whatever was scored. Knows
no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import read_json
from dift_geo.report.charts import bar_charts, curve_panels
from dift_geo.report.embed import photo_text
from dift_geo.report.markdown import FEW, cell_text, few_words, setting_words, unit_of
from dift_geo.report.page import PAGE, leaves, render, write_page
from dift_geo.report.pictures import GALLERY, PICTURES

__all__ = ["RESULTS", "report_evaluation"]

RESULTS = "results.json"
AGAIN = "run the evaluation again with --cached"
COLOURS = 8  # of the style sheet; further methods begin again
Data = Mapping[str, Any]  # as JSON holds it


def report_evaluation(out: str | Path) -> Path:
    """Write the page of an evaluation; returns where it lies.

    out: holds results.json and pictures/, and gets report.html.

    Raises MissingFileError where no evaluation was finished, InputError for results of another kind
    and for a page in its place that is none of ours.
    """
    out = Path(out)
    path = out / RESULTS
    if not path.is_file():
        raise MissingFileError(f"no results at {path}; expected the OUT of `dift-geo evaluate`")
    results = read_json(path, AGAIN)
    try:
        page = _page(out, results)
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not say what a page shows ({error}); {AGAIN}") from error
    write_page(out / PAGE, page)
    return out / PAGE


def _page(out: Path, results: Data) -> str:
    layout, methods = results["layout"], list(results["methods"])
    return render(
        "evaluation.html",
        scripts=("evaluation.js",),
        data={"methods": methods},
        title=layout["title"],
        results=results,
        layout=layout,
        count={word: results[layout[word]] for word in ("items", "groups")},
        setting=setting_words(results),
        few=few_words(layout["groups"]) if results[layout["groups"]] < FEW else "",
        methods=methods,
        colours=[row % COLOURS for row in range(len(methods))],
        tables=[_table(results, group) for group in results["groups"]],
        differences=_differences(results),
        panels=curve_panels(results),
        charts=bar_charts(results),
        gallery=_gallery(out, results),
        recipe=list(leaves(results["recipe"])),
    )


def _table(results: Data, group: str) -> Data:
    """The numbers of one table with their intervals, and published ones beside those of all."""
    layout = results["layout"]
    names = [*layout["headline"], *layout["beside"]]
    rows = {}
    for method, own in results["methods"].items():
        numbers, intervals = own[group], own["intervals"][group]
        rows[method] = [cell_text(unit_of(results, n), numbers[n], intervals[n]) for n in names]
    quoted = layout.get("quoted", {}) if group == "all" else {}
    theirs = {
        who: [cell_text(unit_of(results, n), own[n], None) if n in own else "" for n in names]
        for who, own in quoted.items()
    }
    members = len(results["groups"][group])
    return {"name": group, "members": members, "names": names, "rows": rows, "quoted": theirs}


def _differences(results: Data) -> list[Data]:
    """Of all: what each method has more than the first, and whether that is sure."""
    found: list[Data] = []
    for methods, groups in results["differences"].items():
        cells = []
        for name in results["layout"]["headline"]:
            gap = groups["all"][name]
            low, high = gap["interval"] or (0.0, 0.0)
            words = cell_text(unit_of(results, name), gap["difference"], gap["interval"], True)
            cells.append({"text": words, "sure": low > 0 or high < 0})
        found.append({"methods": methods, "cells": cells})
    return found


def _gallery(out: Path, results: Data) -> list[Data]:
    """The pictures of the run by method: the best and the worst, each with the row it shows."""
    path = out / PICTURES / GALLERY
    drawn = read_json(path, AGAIN)["pictures"] if path.is_file() else []
    known = [one for one in drawn if one["method"] in results["methods"]]
    found: list[Data] = []
    for one in known:
        source = photo_text(path.parent / one["file"], len(known))
        if source is not None:
            words = ", ".join(f"{name} {number}" for name, number in one["values"].items())
            found.append({**one, "source": source, "words": words})
    return found
