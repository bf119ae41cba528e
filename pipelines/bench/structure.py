"""Count what makes code hard to read: long functions and files, nested comprehensions, `Any`.

    python pipelines/bench/structure.py                      # this checkout
    python pipelines/bench/structure.py /tmp/before .        # two, side by side

Prints Markdown tables. `tests/test_house.py` holds the package to limits by the same functions, so
that what is reported is what is tested. Reads source text only and imports nothing of the package.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "dift_geo"
FUNCTION_LINES, FILE_LINES, COLUMNS = 60, 300, 100
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Place:
    """Something at a line of a file, such as a function and its length."""

    file: str
    line: int
    what: str
    size: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.what}"


@dataclass(frozen=True)
class Source:
    """One file: its name below the package, its text and its syntax tree."""

    name: str
    lines: list[str]
    tree: ast.Module

    @classmethod
    def read(cls, package: Path, path: Path) -> Source:
        text = path.read_text(encoding="utf-8")
        return cls(path.relative_to(package).as_posix(), text.splitlines(), ast.parse(text))

    @property
    def folder(self) -> str:
        """The first part of its name: `store/`, or `.` for a file of the package itself."""
        first, slash, _ = self.name.partition("/")
        return f"{first}/" if slash else "."


def read_package(package: Path) -> list[Source]:
    """Every Python file below a folder, by name."""
    return [Source.read(package, path) for path in sorted(package.rglob("*.py"))]


def functions(source: Source) -> Iterator[Place]:
    """Every function and method with its lines, from `def` to its end."""
    for node in ast.walk(source.tree):
        if isinstance(node, FUNCTIONS) and node.end_lineno is not None:
            yield Place(source.name, node.lineno, node.name, node.end_lineno - node.lineno + 1)


def nested_comprehensions(source: Source) -> Iterator[Place]:
    """Comprehensions with two `for`, and those that hold another one."""
    for node in ast.walk(source.tree):
        if not isinstance(node, COMPREHENSIONS):
            continue
        inside = [n for n in ast.walk(node) if n is not node and isinstance(n, COMPREHENSIONS)]
        if len(node.generators) > 1 or inside:
            yield Place(source.name, node.lineno, source.lines[node.lineno - 1].strip())


def anys(source: Source) -> Iterator[Place]:
    """Every use of `typing.Any`; its imports are none."""
    for node in ast.walk(source.tree):
        named = isinstance(node, ast.Name) and node.id == "Any"
        if named or (isinstance(node, ast.Attribute) and node.attr == "Any"):
            yield Place(source.name, node.lineno, source.lines[node.lineno - 1].strip())


def long_lines(source: Source) -> Iterator[Place]:
    """Lines of more than 100 characters."""
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS:
            yield Place(source.name, number, f"has {len(line)} characters", len(line))


@dataclass(frozen=True)
class Structure:
    """What was counted in a package.

    lines: by folder.
    functions: all of them, the longest first.
    long_files: those of more than 300 lines.
    nested, anys, long_lines: where they are.
    """

    lines: dict[str, int]
    functions: list[Place]
    long_files: list[Place]
    nested: list[Place]
    anys: list[Place]
    long_lines: list[Place]

    @property
    def total(self) -> int:
        return sum(self.lines.values())

    @property
    def long_functions(self) -> list[Place]:
        return [place for place in self.functions if place.size > FUNCTION_LINES]

    def per_1000_lines(self, places: Sequence[Place]) -> float:
        return 1000 * len(places) / self.total


def measure(sources: Sequence[Source]) -> Structure:
    """Count everything in these files."""
    lines: Counter[str] = Counter()
    found: dict[str, list[Place]] = {"functions": [], "nested": [], "anys": [], "long_lines": []}
    long_files = []
    for source in sources:
        lines[source.folder] += len(source.lines)
        if len(source.lines) > FILE_LINES:
            long_files.append(Place(source.name, 1, f"{len(source.lines)} lines"))
        found["functions"] += functions(source)
        found["nested"] += nested_comprehensions(source)
        found["anys"] += anys(source)
        found["long_lines"] += long_lines(source)
    found["functions"].sort(key=lambda place: -place.size)
    return Structure(dict(sorted(lines.items())), long_files=long_files, **found)


def figures(structure: Structure) -> dict[str, str]:
    """The summary, a text for each figure."""
    sizes = [place.size for place in structure.functions]
    longest = f"{median(sizes):g} / {quantiles(sizes, n=10)[-1]:.0f} / {max(sizes)}"
    wide, nested, anys = structure.long_lines, structure.nested, structure.anys
    return {
        "lines": str(structure.total),
        f"files over {FILE_LINES} lines": str(len(structure.long_files)),
        "functions": str(len(sizes)),
        "lines of a function: median / p90 / max": longest,
        f"functions over {FUNCTION_LINES} lines": str(len(structure.long_functions)),
        "nested comprehensions": str(len(nested)),
        "nested comprehensions per 1000 lines": f"{structure.per_1000_lines(nested):.1f}",
        "`Any`": str(len(anys)),
        "`Any` per 1000 lines": f"{structure.per_1000_lines(anys):.1f}",
        f"lines of more than {COLUMNS} characters": str(len(wide)),
        f"share of lines of more than {COLUMNS} characters": (
            f"{structure.per_1000_lines(wide) / 10:.1f} %"
        ),
    }


def tables(structures: dict[str, Structure]) -> str:
    """Markdown: the figures, then the lines of each folder; a column for each checkout."""
    head = ["| | " + " | ".join(structures) + " |", "|---|" + "---:|" * len(structures)]
    summaries = [figures(structure) for structure in structures.values()]
    rows = [_row(name, [summary[name] for summary in summaries]) for name in summaries[0]]
    folders = sorted(set().union(*(structure.lines for structure in structures.values())))
    by_folder = []
    for folder in folders:
        counts = [structure.lines.get(folder, "") for structure in structures.values()]
        by_folder.append(_row(f"`{folder}`", [str(count) for count in counts]))
    return "\n".join([*head, *rows, "", "Lines by folder:", "", *head, *by_folder])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT], metavar="CHECKOUT")
    parser.add_argument("--package", default=PACKAGE, help="folder below each checkout")
    parser.add_argument("--places", action="store_true", help="also list where things are")
    options = parser.parse_args()
    structures = {}
    for checkout in options.checkouts:
        sources = read_package(checkout / options.package)
        if not sources:
            raise SystemExit(f"no Python files below {checkout / options.package}")
        structures[str(checkout)] = measure(sources)
    print(tables(structures))
    if options.places:
        for name, structure in structures.items():
            print(f"\n{name}")
            for places in (structure.long_files, structure.long_functions, structure.nested):
                print("\n".join(f"  {place}" for place in places))


if __name__ == "__main__":
    main()
