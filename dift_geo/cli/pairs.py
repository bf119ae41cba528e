"""`dift-geo pairs`: which photos to match with which."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import command
from dift_geo.cli.places import check_apart, check_features, check_file_to_write
from dift_geo.errors import InputError, NotAFolderError
from dift_geo.options import add_flags, take_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_how_flags", "add_pairs"]


def add_pairs(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.pairing import PairOptions
    from dift_geo.sfm import SfmOptions

    parser = command(
        commands,
        "pairs",
        _pairs,
        "features store -> pairs file",
        "dift-geo pairs features.h5 pairs.txt --how sequential:10 --how loops:5",
    )
    parser.add_argument("features", type=Path, help="a features store, or a folder of images")
    parser.add_argument("out", type=Path, help="lines of two names, as hloc and COLMAP read them")
    add_json_flag(parser)
    add_how_flags(parser)
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="of the photos, for spatial")
    add_flags(parser, PairOptions, only=["seed"])
    one_word = parser.add_argument_group("in one word, instead of --how")
    add_flags(one_word, SfmOptions, only=["pairs", "overlap"])


def add_how_flags(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Flags of which pairs are matched."""
    from dift_geo.pairing import PairOptions
    from dift_geo.pairs.words import KINDS

    parser.add_argument(
        "--how",
        action="append",
        default=[],
        metavar="WORD",
        help=f"several are united: {', '.join(kind.usage for kind in KINDS.values())}",
    )
    add_flags(parser, PairOptions, without=["seed"])


def _pairs(
    features: Path, out: Path, how: list[str], images: Path | None, json: bool, **flags: object
) -> None:
    from dift_geo.images import list_images
    from dift_geo.pairing import PairOptions
    from dift_geo.pairs.lists import write_pairs
    from dift_geo.sfm import SfmOptions
    from dift_geo.store.features import FeatureStore

    options = take_flags(PairOptions, flags, how=tuple(how))
    chosen = take_flags(SfmOptions, flags, choice=options)
    vectors = options.global_descriptors
    check_apart(features=features, out=out, vectors=None if vectors is None else Path(vectors))
    check_file_to_write(out, text=True)
    if images is not None and not images.is_dir():
        raise NotAFolderError(f"{images} is not a folder; expected the folder of the photos")
    if features.is_dir():
        store, images, names = None, images or features, list_images(features)
    else:
        check_features(features)
        with FeatureStore(features) as opened:
            store, names = features, list(opened)
    found = chosen.choose_pairs(names, features=store, images=images)
    if not found:
        raise InputError(f"{chosen.pairs_word} gives no pair of {len(names)} images")
    write_pairs(out, found)
    close({"images": len(names), "pairs": len(found), "list": out}, json)
