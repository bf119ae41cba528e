"""`dift-geo report`: a finished run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import check_file_to_write
from dift_geo.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_report", "page_words"]


def add_report(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "report",
        _report,
        "finished run -> one web page to look at and to send",
        "dift-geo report out/",
    )
    parser.add_argument(
        "out", type=Path, help="of `dift-geo reconstruct` or `evaluate`; gets report.html"
    )
    add_json_flag(parser)
    model = parser.add_argument_group("of a model")
    model.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of the photos, where they were moved"
    )
    model.add_argument(
        "--truth",
        type=Path,
        metavar="PLACE",
        help="true poses: a COLMAP model, or lines of name, size, intrinsics and cam_from_world",
    )


def _report(out: Path, images: Path | None, truth: Path | None, json: bool) -> None:
    from dift_geo.report.evaluation import RESULTS, report_evaluation
    from dift_geo.report.page import PAGE
    from dift_geo.report.run import SUMMARY, report_model

    if not out.is_dir():
        raise MissingFileError(
            f"no folder {out}; expected the OUT of `dift-geo reconstruct` or `dift-geo evaluate`"
        )
    check_file_to_write(out / PAGE)
    found = [name for name in (SUMMARY, RESULTS) if (out / name).is_file()]
    if not found:
        raise MissingFileError(
            f"{out} holds neither {SUMMARY} nor {RESULTS}; expected the OUT of a finished "
            "`dift-geo reconstruct` or `dift-geo evaluate`"
        )
    if len(found) > 1:
        raise InputError(
            f"{out} holds a model and an evaluation ({SUMMARY}, {RESULTS}); move one of them away"
        )
    if found == [RESULTS]:
        if images is not None or truth is not None:
            raise InputError("--images and --truth are of a model; an evaluation has its own")
        page = report_evaluation(out)
    else:
        page = report_model(out, images=images, truth=truth)
    facts = {"page": page, "bytes": page.stat().st_size}
    close(facts, json, {"page": page_words(page)})


def page_words(page: Path) -> str:
    """Where a page lies and how large it is."""
    return f"{page}, {page.stat().st_size / 1e6:.1f} MB"
