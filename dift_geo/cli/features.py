"""`dift-geo extract`, `pairs` and `match`: the road step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dift_geo.cli.flags import (
    add_extractor_flags,
    add_match_flags,
    command,
    report_skipped,
    take_extractor,
)
from dift_geo.errors import InputError

__all__ = ["add_extract", "add_match", "add_pairs"]


# extract, pairs, match


def add_extract(commands: Any) -> None:
    parser = command(
        commands,
        "extract",
        _extract,
        "photos -> features store",
        "dift-geo extract photos/ features.h5",
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("features", type=Path, help="hloc-compatible HDF5")
    add_extractor_flags(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")


def _extract(images: Path, features: Path, strict: bool, **options: Any) -> int:
    from dift_geo.engine.loops import extract_images
    from dift_geo.images import list_images

    names = list_images(images)
    if not names:
        raise InputError(f"{images} holds no images")
    skipped = extract_images(images, names, take_extractor(options), features, strict=strict)
    if len(skipped) == len(names):
        raise InputError(f"none of the {len(names)} images in {images} can be read")
    print(f"{len(names) - len(skipped)} images -> {features}")
    return report_skipped(skipped)


def add_pairs(commands: Any) -> None:
    parser = command(
        commands,
        "pairs",
        _pairs,
        "features store -> pairs file",
        "dift-geo pairs features.h5 pairs.txt --pairs sequential",
    )
    parser.add_argument("features", type=Path, help="a features store, or a folder of images")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--pairs",
        default="exhaustive",
        metavar="HOW",
        help="exhaustive, sequential or a pairs file to check",
    )
    parser.add_argument(
        "--overlap", type=int, default=10, metavar="N", help="images ahead, with --pairs sequential"
    )


def _pairs(features: Path, out: Path, pairs: str, overlap: int) -> None:
    from dift_geo.images import list_images
    from dift_geo.pairs.choose import choose_pairs
    from dift_geo.pairs.lists import write_pairs
    from dift_geo.store.features import FeatureStore

    names = list_images(features) if features.is_dir() else list(FeatureStore(features))
    chosen = choose_pairs(names, pairs, overlap)
    write_pairs(out, chosen)
    print(f"{len(chosen)} pairs of {len(names)} images -> {out}")


def add_match(commands: Any) -> None:
    parser = command(
        commands,
        "match",
        _match,
        "features + pairs -> matches store",
        "dift-geo match features.h5 pairs.txt matches.h5",
    )
    parser.add_argument("features", type=Path, help="ours or hloc's")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("matches", type=Path, help="hloc-compatible HDF5")
    add_match_flags(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps")


def _match(features: Path, pairs: Path, matches: Path, **options: Any) -> None:
    from dift_geo.engine.loops import match_pairs
    from dift_geo.pairs.lists import read_pairs
    from dift_geo.store.features import FeatureStore

    with FeatureStore(features) as store:
        chosen = read_pairs(pairs, list(store))
    match_pairs(features, chosen, matches, **options)
    print(f"{len(chosen)} pairs -> {matches}")
