"""`dift-geo report`: a finished run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import command
from dift_geo.cli.places import check_file_to_write

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_report"]


def add_report(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "report",
        _report,
        "finished run -> one web page to look at and to send",
        "dift-geo report out/",
    )
    parser.add_argument("out", type=Path, help="of `dift-geo reconstruct`; gets report.html")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of the photos, where they were moved"
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="PLACE",
        help="true poses: a COLMAP model, or lines of name, size, intrinsics and cam_from_world",
    )


def _report(out: Path, images: Path | None, truth: Path | None) -> None:
    from dift_geo.report.run import PAGE, report_model

    check_file_to_write(out / PAGE)
    page = report_model(out, images=images, truth=truth)
    print(f"{page.stat().st_size / 1e6:.1f} MB -> {page}")
