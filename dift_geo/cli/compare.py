"""`dift-geo compare`: finished evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import check_folder_to_write
from dift_geo.errors import InputError

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_compare"]


def add_compare(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "compare",
        _compare,
        "finished evaluations side by side",
        "dift-geo compare out/ other/ --to both/",
    )
    parser.add_argument(
        "outs",
        nargs="+",
        type=Path,
        metavar="OUT",
        help="folders that `dift-geo evaluate` wrote; items that all of them scored are compared",
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="gets results.json, results.md and the CSV"
    )
    add_json_flag(parser)


def _compare(outs: list[Path], to: Path | None, json: bool) -> None:
    from dift_geo.benchmark.compare import compare_runs

    if to is not None:
        check_folder_to_write(to)
        if to.resolve() in {out.resolve() for out in outs}:
            raise InputError(f"--to {to} is one of the runs; its results would be replaced")
    both = compare_runs(outs)
    if to is not None:
        both.save(to)
    if not json:
        print(both.markdown())
    close({**both.results, "to": to}, json, {"results": to})
