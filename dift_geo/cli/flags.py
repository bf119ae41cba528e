"""Flags that several commands share."""

from __future__ import annotations

import argparse
import sys
from typing import Any, get_args

__all__ = ["add_extractor_flags", "add_match_flags", "command", "report_skipped", "take_extractor"]

SKIPPED_SOME = 3
EXTRACTOR_FLAGS = (
    "backend", "detector", "descriptor", "reading", "max_keypoints", "size", "projection", "mode", "precision", "max_batch"
)  # fmt: skip


# flags that several commands share


def command(
    commands: Any, name: str, run: Any, summary: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=type(
            "_Help",
            (argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter),
            {},
        ),
    )
    parser.set_defaults(run=run)
    return parser  # type: ignore[no-any-return]


def add_extractor_flags(
    parser: argparse.ArgumentParser, size: int = 1600, max_keypoints: int = 8192
) -> None:
    from dift_geo.backends.device import Precision
    from dift_geo.extractor import DESCRIPTORS

    group = parser.add_argument_group("features")
    group.add_argument(
        "--backend",
        default="tiny",
        metavar="NAME",
        help="tiny, sd2.1, adm, ..., a model folder or a hub id",
    )
    group.add_argument(
        "--detector",
        default="sift",
        metavar="NAME",
        help="sift, superpoint (or its folder or hub id), colmap:DATABASE",
    )
    group.add_argument(
        "--descriptor",
        default="dift",
        choices=DESCRIPTORS,
        help="what is computed at the keypoints",
    )
    group.add_argument(
        "--reading", choices=("dense", "oriented"), help="default: what suits the backend"
    )
    group.add_argument(
        "--max-keypoints", type=int, default=max_keypoints, metavar="N", help="per image"
    )
    group.add_argument(
        "--size",
        type=int,
        default=size,
        metavar="PX",
        help="longest side the network and detector see",
    )
    group.add_argument(
        "--projection", metavar="FILE", help="a projection fitted by `dift-geo calibrate`"
    )
    group.add_argument("--seed", type=int, default=0, help="of noise and RANSAC")
    group.add_argument(
        "--device", default="cpu", help="cpu, cuda, mps, or auto for the best there is"
    )
    group.add_argument(
        "--mode",
        choices=("default", "paper"),
        default="default",
        help="paper: published settings of SD or ADM",
    )
    group.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="auto: half on a GPU"
    )
    group.add_argument(
        "--max-batch", type=int, metavar="N", help="images or draws at once; bounds memory"
    )


def take_extractor(options: dict[str, Any]) -> Any:
    """Take the extractor's flags out of `options` and build it."""
    from dift_geo.backends.device import pick_device
    from dift_geo.extractor import build_extractor

    flags = {name: options.pop(name) for name in EXTRACTOR_FLAGS}
    options["device"] = str(pick_device(options["device"]))
    return build_extractor(**flags, seed=options["seed"], device=options["device"])


def add_match_flags(parser: argparse.ArgumentParser, ratio: float | None = None) -> None:
    parser.add_argument(
        "--ratio",
        type=float,
        default=ratio,
        metavar="R",
        help="Lowe's ratio test, both ways; 1 or none is off",
    )
    parser.add_argument(
        "--min-similarity", type=float, metavar="C", help="least cosine of a match; off by default"
    )


def report_skipped(skipped: list[str]) -> int:
    if skipped:
        print(
            f"dift-geo: {len(skipped)} unreadable image(s) skipped: {', '.join(skipped)}",
            file=sys.stderr,
        )
    return SKIPPED_SOME if skipped else 0
