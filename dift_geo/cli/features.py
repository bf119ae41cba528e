"""`dift-geo extract` and `match`: two of the steps of `reconstruct` one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import (
    add_engine_flags,
    add_extractor_flags,
    add_masks_flag,
    add_match_flags,
    command,
    report_passed_over,
    report_skipped,
    take_engine,
    take_extractor_options,
    take_match_options,
)
from dift_geo.cli.places import check_apart, check_features, check_file_to_write
from dift_geo.errors import InputError
from dift_geo.options import add_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_extract", "add_match"]


def add_extract(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "extract",
        _extract,
        "photos -> features store",
        "dift-geo extract photos/ features.h5",
    )
    parser.add_argument("images", type=Path, help="folder of photos, read recursively")
    parser.add_argument("features", type=Path, help="hloc-compatible HDF5")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    add_json_flag(parser)
    add_masks_flag(parser)
    add_extractor_flags(parser, for_models=True)
    add_engine_flags(parser, matching=False)


def _extract(
    images: Path, features: Path, strict: bool, json: bool, masks: Path | None, **flags: object
) -> int:
    from dift_geo.engine.elsewhere import extractor_for
    from dift_geo.engine.loops import extract_images
    from dift_geo.images import survey

    options = take_extractor_options(flags, for_models=True)
    where = take_engine(flags)
    check_file_to_write(features)
    engine, device = where.build(options.device)
    found = survey(images)
    report_passed_over(found, masks is not None)
    names = found.names
    if not names:
        raise InputError(f"{images} holds no images, expected at least one")
    extractor = extractor_for(engine, options, device)
    skipped = extract_images(
        images, names, extractor, features, strict=strict, masks=masks, engine=engine
    )
    if len(skipped) == len(names):
        raise InputError(f"none of the {len(names)} images in {images} can be read")
    done = len(names) - len(skipped)
    rows = {"images": f"{done} of {len(names)}", "features": features}
    close({"images": done, "skipped": skipped, "features": features}, json, rows)
    return report_skipped(skipped)


def add_match(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.extractor import ExtractorOptions

    parser = command(
        commands,
        "match",
        _match,
        "features + pairs -> matches store",
        "dift-geo match features.h5 pairs.txt matches.h5",
    )
    parser.add_argument("features", type=Path, help="ours or hloc's")
    parser.add_argument("pairs", type=Path, help="as `dift-geo pairs` writes them")
    parser.add_argument("matches", type=Path, help="hloc-compatible HDF5")
    add_json_flag(parser)
    add_match_flags(parser)
    add_flags(parser, ExtractorOptions, only=["device"])
    add_engine_flags(parser, matching=True)


def _match(features: Path, pairs: Path, matches: Path, json: bool, **flags: object) -> None:
    from dift_geo.engine.loops import match_pairs
    from dift_geo.pairs.lists import read_pairs
    from dift_geo.store.features import FeatureStore

    options, where = take_match_options(flags), take_engine(flags)
    check_apart(features=features, pairs=pairs, matches=matches)
    check_file_to_write(matches)
    check_features(features)
    engine, device = where.build(str(flags.pop("device")))
    with FeatureStore(features) as store:
        chosen = read_pairs(pairs, list(store))
    memory = where.memory_bytes
    match_pairs(features, chosen, matches, options, device=device, engine=engine, memory=memory)
    close({"pairs": len(chosen), "matches": matches}, json)
