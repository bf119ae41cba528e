"""`dift-geo trust`: any COLMAP model and its database in, whether to rely on it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import SEED, command, report_trust
from dift_geo.errors import MissingFileError
from dift_geo.options import number

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_trust"]

DATABASES = ("database.db", "../database.db", "../../database.db")
MODELS = ("sparse/0", "sparse", "0", ".")


def add_trust(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "trust",
        _trust,
        "COLMAP model and database -> whether to rely on it",
        "dift-geo trust out/",
    )
    parser.add_argument("out", type=Path, help="folder of a run, of COLMAP's or of a model")
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="default: database.db in OUT or above it"
    )
    parser.add_argument("--seed", type=SEED, default=0, metavar="N", help="of the mapper's runs")
    parser.add_argument(
        "--threads",
        type=number(int, least=0),
        default=1,
        metavar="N",
        help="of the mapper; 0 takes all processors",
    )
    parser.add_argument("--json", action="store_true", help="all of it, for programs")


def _trust(out: Path, database: Path | None, seed: int, threads: int, json: bool) -> int:
    from dift_geo.colmap.certify import trust_model
    from dift_geo.recipe import json_text

    files = [f"{place}/images.{kind}" for place in MODELS for kind in ("bin", "txt")]
    model = _first(out, files)
    if model is None:
        raise MissingFileError(f"{out} holds no COLMAP model, expected images.bin or images.txt")
    database = database or _first(out, DATABASES)
    if database is None:
        raise MissingFileError(f"{out} has no database.db; name it by --database")
    trust = trust_model(model.parent, database, seed=seed, threads=threads).plain()
    if json:
        print(json_text(trust))
    return report_trust(trust, quiet=json)


def _first(out: Path, names: Sequence[str]) -> Path | None:
    """The first of several files that is there."""
    return next((out / name for name in names if (out / name).is_file()), None)
