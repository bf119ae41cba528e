"""The rows of a benchmark run as a CSV, one line per method and item: every number of the tables
can be made of them again. Knows no benchmark.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import chain
from pathlib import Path

from dift_geo.benchmark.task import Layout, Row
from dift_geo.errors import InputError, MissingFileError
from dift_geo.recipe import write_whole

__all__ = ["read_rows", "write_rows"]


def write_rows(path: str | Path, rows: Mapping[str, Sequence[Row]], layout: Layout) -> None:
    """Write the rows of every method. rows: name of a method -> its rows, all with one set of
    columns.
    """
    first = next(chain.from_iterable(rows.values()), None)
    columns = [] if first is None else list(first.values)
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*_names(layout), *columns])
    for method, own in rows.items():
        for row in own:
            kind = [row.kind] if layout.kind else []
            numbers = [row.values[column] for column in columns]
            writer.writerow([method, row.group, row.item, *kind, *numbers])
    write_whole(path, text.getvalue().encode())


def read_rows(path: str | Path, layout: Layout) -> dict[str, tuple[Row, ...]]:
    """What `write_rows` wrote: name of a method -> its rows.

    Raises MissingFileError where there is no file and InputError for one of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no {path}; expected the folder of a finished `dift-geo evaluate`")
    rows: dict[str, list[Row]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        names = _names(layout)
        if header[: len(names)] != names:
            raise InputError(
                f"{path} begins with the columns {', '.join(header[: len(names)]) or 'none'}, "
                f"expected {', '.join(names)}; evaluate again"
            )
        for line in reader:
            if len(line) != len(header):
                raise InputError(f"{path} has a line of {len(line)} fields, expected {len(header)}")
            method, group, item, *rest = line
            kind = rest.pop(0) if layout.kind else ""
            values = _values(path, header[len(names) :], rest)
            rows.setdefault(method, []).append(Row(group, item, values, kind))
    return {method: tuple(own) for method, own in rows.items()}


def _names(layout: Layout) -> list[str]:
    return ["method", *layout.row, *([layout.kind] if layout.kind else [])]


def _values(path: Path, columns: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    try:
        # a count stays one, so that it is written again as it was
        return {name: int(t) if t.isdigit() else float(t) for name, t in zip(columns, texts)}
    except ValueError as error:
        raise InputError(f"{path} has a column that holds no number: {error}") from None
