"""Flags of `dift-geo evaluate` about its items: which there are, and how they are scored.

Knows no method.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal, get_args

__all__ = ["add_choice", "add_scoring"]


def add_scoring(group: argparse._ArgumentGroup) -> None:
    """How items are scored and shown."""
    from dift_geo.geometry.robust import Estimator

    group.add_argument("--estimator", choices=get_args(Estimator), help="default: the protocol's")
    group.add_argument(
        "--max-error",
        type=_pixels_or_best,
        metavar="PX",
        help="inlier threshold, or `best` of 0.5 to 3 for each method; default: the protocol's",
    )
    group.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=SEQ,SEQ",
        help="a table for these sequences",
    )
    group.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples behind the intervals"
    )
    group.add_argument(
        "--pictures", type=int, default=3, metavar="N", help="best and worst pairs drawn per method"
    )
    group.add_argument(
        "--cache", type=Path, metavar="DIR", help="feature and match stores; default: OUT/cache"
    )


def add_choice(group: argparse._ArgumentGroup) -> None:
    """Which items of the data are scored."""
    group.add_argument(
        "--sequences",
        "--scenes",
        "--categories",
        nargs="+",
        metavar="N",
        help="only these names; patterns like 'v_*' work",
    )
    group.add_argument(
        "--include-large",
        action="store_true",
        help="also the eight sequences that protocols of homographies leave out",
    )
    group.add_argument(
        "--pairs",
        type=Path,
        metavar="LIST",
        help="pairs and relative poses, where the list is not in DATASET: text or LoFTR's npz",
    )
    group.add_argument(
        "--max-angle",
        type=float,
        metavar="DEG",
        help="only pairs of cameras whose directions of view differ by no more; default: all pairs",
    )
    group.add_argument(
        "--pairs-per-scene",
        type=int,
        metavar="N",
        help="drawn with --seed from scenes that have more; default: all pairs",
    )


def _pixels_or_best(text: str) -> float | Literal["best"]:
    return "best" if text == "best" else float(text)
