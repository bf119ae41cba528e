"""`dift-geo reconstruct`: photos in, a COLMAP model out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import (
    add_engine_flags,
    add_extractor_flags,
    add_masks_flag,
    add_match_flags,
    command,
    report_passed_over,
    report_skipped,
    report_trust,
    take_engine,
    take_extractor_options,
    take_match_options,
)
from dift_geo.cli.pairs import add_how_flags
from dift_geo.cli.places import check_features, check_folder_to_write, check_matches
from dift_geo.cli.report import page_words
from dift_geo.errors import InputError
from dift_geo.options import add_flags, take_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_reconstruct"]

PAIRS = ("pairs", "overlap")


def add_reconstruct(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.matching.options import RATIO_FOR_MODELS
    from dift_geo.sfm import SfmOptions

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
    parser.add_argument("--report", action="store_true", help="also write OUT/report.html")
    add_json_flag(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    add_masks_flag(parser)
    made_before = parser.add_argument_group("made before, by this program or by hloc")
    made_before.add_argument("--features", type=Path, metavar="FILE", help="nothing is extracted")
    made_before.add_argument(
        "--matches", type=Path, metavar="FILE", help="of --features; nothing is matched"
    )
    add_extractor_flags(parser, for_models=True)
    add_match_flags(parser, ratio=RATIO_FOR_MODELS)
    chosen = parser.add_argument_group("pairs")
    add_flags(chosen, SfmOptions, only=PAIRS)
    add_how_flags(chosen)
    add_engine_flags(parser, matching=True)
    mapping = parser.add_argument_group("mapping")
    add_flags(mapping, SfmOptions, without=["seed", *PAIRS])
    mapping.add_argument(
        "--intrinsics",
        type=Path,
        metavar="FILE",
        help="known cameras: lines `IMAGE_NAME|* MODEL PARAMS...`",
    )


def _reconstruct(
    images: Path,
    out: Path,
    features: Path | None,
    matches: Path | None,
    intrinsics: Path | None,
    masks: Path | None,
    how: list[str],
    strict: bool,
    report: bool,
    json: bool,
    **flags: object,
) -> int:
    from dift_geo.colmap.cameras import read_intrinsics
    from dift_geo.engine.elsewhere import extractor_for
    from dift_geo.images import survey
    from dift_geo.pairing import PairOptions
    from dift_geo.sfm import SfmOptions, reconstruct, reconstruct_from_files

    if matches is not None and features is None:
        raise InputError(
            "--matches needs --features: matches are indices into the features they were made of"
        )
    if masks is not None and features is not None:
        raise InputError("--masks is for extracting features; with --features nothing is extracted")
    asked = take_extractor_options(flags, for_models=True)
    match, where = take_match_options(flags), take_engine(flags)
    check_folder_to_write(out)
    if features is not None:
        check_features(features)
    if matches is not None:
        check_matches(matches)
    cameras = None if intrinsics is None else read_intrinsics(intrinsics)
    engine, device = where.build(asked.device)
    runs: Any = {"engine": engine, "memory": where.memory_bytes}
    choice = take_flags(PairOptions, flags, seed=asked.seed, how=tuple(how))
    options = take_flags(SfmOptions, flags, seed=asked.seed, intrinsics=cameras, choice=choice)
    if features is not None:
        result = reconstruct_from_files(
            images, out, features, matches, options, match, device=device, **runs
        )
    else:
        report_passed_over(survey(images), masks is not None)
        extractor = extractor_for(engine, asked, device)
        result = reconstruct(
            *(images, out, extractor, options, match),
            strict=strict,
            masks=masks,
            device=device,
            **runs,
        )
    s = result.summary
    page = None
    if report:
        from dift_geo.report.run import report_model

        page = report_model(out, images=images)
    close({**s, "model": result.folder, "page": page}, json, _rows(s, result.folder, page))
    skipped = report_skipped(s["skipped"])
    return report_trust(s["trust"], quiet=json) or skipped


def _rows(summary: Mapping[str, Any], model: Path, page: Path | None) -> dict[str, object]:
    """The closing summary for people. summary: as summary.json has it."""
    s = summary
    return {
        "keypoints": f"{s['keypoints_mean']:.0f} on average",
        "matches": f"{s['matches_mean']:.0f} on average, {s['verified_pairs']} of {s['pairs']} "
        "pairs verified",
        "images": f"{s['registered']}/{s['images']} images registered",
        "points": f"{s['points']}, {s['reprojection_px']:.3f} px reprojection error",
        "model": model,
        "page": None if page is None else page_words(page),
    }
