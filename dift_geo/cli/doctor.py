"""`dift-geo doctor`: where it runs, and what it thinks of a run's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import command

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_doctor"]


def add_doctor(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "doctor",
        _doctor,
        "environment and a run's files -> what is wrong",
        "dift-geo doctor out/",
    )
    parser.add_argument("out", nargs="?", type=Path, help="folder of a run; nothing in it changes")
    parser.add_argument("--json", action="store_true", help="for programs; paste it or the page")


def _doctor(out: Path | None, json: bool) -> int:
    from dift_geo.doctor.examine import examine
    from dift_geo.recipe import json_text

    found = examine(out)
    print(json_text(found.plain()) if json else found.page())
    return 0 if found.well else 1
