"""`dift-geo download`: fetch the images of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import check_folder_to_write

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_download"]

FILES_PER_SEQUENCE = 11  # six images and five homographies


def add_download(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "download",
        _download,
        "HPatches -> a folder for `dift-geo evaluate`",
        "dift-geo download hpatches/",
    )
    parser.add_argument("dataset", type=Path, help="folder of the sequences; what is there stays")
    add_json_flag(parser)
    parser.add_argument("--url", help="of the archive; default: where its authors keep it")
    parser.add_argument(
        "--sha256", metavar="HEX", help="checksum of the archive, if the server names none"
    )
    parser.add_argument(
        "--include-large",
        action="store_true",
        help="also the eight sequences that protocols leave out",
    )


def _download(
    dataset: Path, url: str | None, sha256: str | None, include_large: bool, json: bool
) -> None:
    from dift_geo.benchmark.homography.download import (
        HPATCHES_URL,
        download_hpatches,
        missing_files,
    )

    check_folder_to_write(dataset)
    done = download_hpatches(
        dataset, url=url or HPATCHES_URL, sha256=sha256, include_large=include_large
    )
    missing = missing_files(dataset, include_large)
    rows = {"sequences": done}
    if missing:
        rows["missing"] = f"{len(missing)} sequences are incomplete"
    for sequence, gone in missing.items():
        rows[f"  {sequence}"] = "all" if len(gone) == FILES_PER_SEQUENCE else ", ".join(gone)
    close({"dataset": dataset, "done": done, "missing": missing}, json, rows)
