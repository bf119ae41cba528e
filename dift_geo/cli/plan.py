"""`dift-geo plan`: what a long run will take, before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import (
    add_extractor_flags,
    add_match_flags,
    command,
    take_device,
    take_extractor_options,
    take_match_options,
)
from dift_geo.cli.pairs import add_how_flags
from dift_geo.options import add_flags, number, take_flags

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands
    from dift_geo.plan import Plan

__all__ = ["add_plan"]

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def add_plan(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.matching.options import RATIO_FOR_MODELS
    from dift_geo.plan import PROBE
    from dift_geo.sfm_options import SfmOptions

    parser = command(
        commands,
        "plan",
        _plan,
        "what a run will take, by a probe of a few photos",
        "dift-geo plan photos/ --how retrieval:20 --max-keypoints 4096",
    )
    parser.add_argument("images", type=Path, help="folder of photos, read recursively")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--out", type=Path, metavar="OUT", help="of a run that was begun: what is done is taken off"
    )
    parser.add_argument(
        "--probe", type=number(int, least=2), default=PROBE, metavar="N", help="photos to try"
    )
    add_extractor_flags(parser, for_models=True)
    add_match_flags(parser, ratio=RATIO_FOR_MODELS)
    pairs = parser.add_argument_group("pairs")
    add_how_flags(pairs)
    add_flags(pairs, SfmOptions, only=["pairs", "overlap"])


def _plan(
    images: Path, json: bool, probe: int, out: Path | None, how: list[str], **flags: object
) -> None:
    from dift_geo.pairing import PairOptions
    from dift_geo.plan import plan_run
    from dift_geo.recipe import json_text
    from dift_geo.sfm_options import SfmOptions

    asked = take_extractor_options(flags, for_models=True)
    match, device = take_match_options(flags), take_device({"device": asked.device})
    choice = take_flags(PairOptions, flags, seed=asked.seed, how=tuple(how))
    options = take_flags(SfmOptions, flags, seed=asked.seed, choice=choice)
    choice.check(features=True, images=True)
    plan = plan_run(images, asked.build(), options, match, probe=probe, device=device, out=out)
    print(json_text(plan.plain()) if json else _told(plan))


def _told(plan: Plan) -> str:
    most = "" if plan.exact_pairs else "at most "
    stores = plan.features_bytes + plan.matches_bytes
    return "\n".join(
        [
            f"{plan.images} images, {most}{plan.pairs} pairs, "
            f"about {plan.keypoints:.0f} keypoints an image",
            *_done(plan),
            f"extract: {_time(plan.extract_seconds)}, {_size(plan.features_bytes)}",
            f"match: {most}{_time(plan.match_seconds)}, {_size(plan.matches_bytes)}",
            f"verify: {most}{_time(plan.verify_seconds)}, more where photos share more than these",
            f"keep {_size(2 * stores)} free: a store is there twice while it is merged",
            f"by a probe of {plan.probe} photos on this machine, as busy as it was; "
            "mapping comes on top",
        ]
    )


def _done(plan: Plan) -> list[str]:
    images, pairs = plan.images - plan.images_left, plan.pairs - plan.pairs_left
    return [f"done before: {images} images, {pairs} pairs"] if images or pairs else []


def _size(count: float) -> str:
    unit, size = next((pair for pair in UNITS if count >= pair[1]), UNITS[-1])
    return f"{count / size:.1f} {unit}"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
