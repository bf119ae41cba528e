"""`dift-geo reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dift_geo.cli.flags import (
    EXTRACTOR_FLAGS,
    add_extractor_flags,
    add_match_flags,
    command,
    report_skipped,
    take_extractor,
)
from dift_geo.errors import InputError

__all__ = ["add_reconstruct"]


# reconstruct


def add_reconstruct(commands: Any) -> None:
    parser = command(
        commands,
        "reconstruct",
        _reconstruct,
        "photos -> COLMAP model",
        "dift-geo reconstruct photos/ out/",
    )
    parser.add_argument("images", type=Path, help="folder of photos, read recursively")
    parser.add_argument(
        "out",
        type=Path,
        help="gets features.h5, matches.h5, pairs.txt, database.db, sparse/, summary.json",
    )
    add_extractor_flags(parser)
    add_match_flags(parser, ratio=0.95)
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="made before, ours or hloc's: nothing is extracted",
    )
    parser.add_argument(
        "--matches",
        type=Path,
        metavar="FILE",
        help="made before, of --features: nothing is matched",
    )
    parser.add_argument(
        "--pairs",
        metavar="HOW",
        help="exhaustive (or what --matches holds), sequential or a pairs file",
    )
    parser.add_argument(
        "--overlap", type=int, default=10, metavar="N", help="images ahead, with --pairs sequential"
    )
    parser.add_argument(
        "--camera-mode", choices=("auto", "single", "per-folder", "per-image"), default="auto"
    )
    parser.add_argument(
        "--camera-model", default="SIMPLE_RADIAL", metavar="MODEL", help="a COLMAP camera model"
    )
    parser.add_argument(
        "--intrinsics",
        type=Path,
        metavar="FILE",
        help="known cameras: lines `IMAGE_NAME|* MODEL PARAMS...`",
    )
    parser.add_argument("--mapper", choices=("incremental", "global"), default="incremental")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")


def _reconstruct(
    images: Path,
    out: Path,
    intrinsics: Path | None,
    features: Path | None,
    matches: Path | None,
    **options: Any,
) -> int:
    from dift_geo.colmap.cameras import read_intrinsics
    from dift_geo.sfm import reconstruct, reconstruct_from_files

    options["intrinsics"] = None if intrinsics is None else read_intrinsics(intrinsics)
    if features is not None:
        unused = {*EXTRACTOR_FLAGS, "strict"}
        kept = {name: value for name, value in options.items() if name not in unused}
        result = reconstruct_from_files(images, out, features, matches, **kept)
    elif matches is not None:
        raise InputError(
            "--matches needs --features: matches are indices into the features they were made of"
        )
    else:
        options["pairs"] = options["pairs"] or "exhaustive"
        result = reconstruct(images, out, take_extractor(options), **options)
    s = result.summary
    print(
        f"{s['registered']}/{s['images']} images registered, {s['points']} points, "
        f"{s['reprojection_px']:.3f} px reprojection error -> {result.folder}"
    )
    return report_skipped(s["skipped"])
