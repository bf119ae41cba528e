"""`dift-geo import` and `export`: COLMAP's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import (
    check_apart,
    check_features,
    check_file_to_write,
    check_folder_to_write,
    check_matches,
)
from dift_geo.errors import InputError
from dift_geo.options import add_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands
    from dift_geo.colmap.cameras import CameraMode

__all__ = ["add_export", "add_import"]


def add_import(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "import",
        _import,
        "COLMAP database -> features store",
        "dift-geo import database.db features.h5 --matches matches.h5",
    )
    parser.add_argument("database", type=Path, help="as `colmap feature_extractor` writes it")
    parser.add_argument("features", type=Path, help="gets keypoints and descriptors, as HDF5")
    parser.add_argument("--matches", type=Path, metavar="FILE", help="also gets COLMAP's matches")
    add_json_flag(parser)


def _import(database: Path, features: Path, matches: Path | None, json: bool) -> None:
    from dift_geo.colmap.exchange import import_database

    check_apart(database=database, features=features, matches=matches)
    for file in filter(None, (features, matches)):
        check_file_to_write(file)
    images, pairs = import_database(database, features, matches)
    known = pairs if matches else None
    close({"images": images, "features": features, "pairs": known, "matches": matches}, json)


def add_export(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.sfm import SfmOptions

    parser = command(
        commands,
        "export",
        _export,
        "features and matches -> COLMAP database or text files",
        "dift-geo export features.h5 pairs.txt matches.h5 --database database.db --images photos/",
    )
    parser.add_argument("features", type=Path, help="ours or hloc's")
    parser.add_argument("pairs", type=Path, help="as `dift-geo pairs` writes them")
    parser.add_argument("matches", type=Path, help="ours or hloc's")
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="new, or one that has the features' keypoints"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="the photos; needed for a new database"
    )
    parser.add_argument(
        "--text",
        type=Path,
        metavar="FOLDER",
        help="files for COLMAP's feature_importer and matches_importer",
    )
    parser.add_argument(
        "--verified",
        action="store_true",
        help="declare the matches verified: COLMAP will not check them",
    )
    add_json_flag(parser)
    add_flags(parser, SfmOptions, only=["camera_mode", "camera_model"])


def _export(
    features: Path,
    pairs: Path,
    matches: Path,
    database: Path | None,
    images: Path | None,
    text: Path | None,
    verified: bool,
    json: bool,
    camera_mode: CameraMode,
    camera_model: str,
) -> None:
    from dift_geo.colmap.exchange import export_database, export_text
    from dift_geo.pairs.lists import read_pairs
    from dift_geo.store.features import FeatureStore

    if database is None and text is None:
        raise InputError("nowhere to export to; give --database FILE or --text FOLDER")
    if database is not None and images is None and not database.is_file():
        raise InputError(f"{database} is a new database; give --images FOLDER for its cameras")
    check_apart(features=features, pairs=pairs, matches=matches, database=database)
    if database is not None:
        check_file_to_write(database)
    if text is not None:
        check_folder_to_write(text)
    check_features(features)
    check_matches(matches)
    with FeatureStore(features) as store:
        chosen = read_pairs(pairs, list(store))
    if database is not None:
        export_database(
            database,
            images or "",
            features,
            chosen,
            matches,
            verified=verified,
            camera_mode=camera_mode,
            camera_model=camera_model,
        )
    if text is not None:
        export_text(text, features, chosen, matches)
    close({"pairs": len(chosen), "database": database, "text": text}, json)
