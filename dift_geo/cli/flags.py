"""What the commands share: how one is registered, and the flags of an extractor and of matching.

Flags are made of the fields of the options, so that a new field is a new flag. Knows no command.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dift_geo.options import add_flags, number, take_flags, take_values

if TYPE_CHECKING:
    from dift_geo.engine.options import EngineOptions
    from dift_geo.extractor import ExtractorOptions
    from dift_geo.images import Listing
    from dift_geo.matching.options import MatchOptions

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Flags = MutableMapping[str, object]  # parsed, by name

__all__ = [
    "NOT_TRUSTED",
    "SKIPPED_SOME",
    "USUAL",
    "add_engine_flags",
    "add_extractor_flags",
    "add_masks_flag",
    "add_match_flags",
    "command",
    "report_passed_over",
    "report_skipped",
    "report_trust",
    "take_device",
    "take_engine",
    "take_extractor_options",
    "take_match_options",
]

SKIPPED_SOME, NOT_TRUSTED = 3, 4  # exit codes
SHOWN = 10  # names in a line
USUAL = MappingProxyType(
    {"straighten": "auto"}
)  # of commands, where the fields' own default differs
SEED = number(int, least=0, most=2**31 - 1)  # what all libraries take

MODEL_FLAGS = ("reading", "projection", "mode", "effort", "precision", "max_batch")


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Names the places alone in the usage, keeps the example's lines, shows telling defaults."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        places = [action for action in actions if not action.option_strings]
        words = [self._format_args(action, action.dest) for action in places]
        super().add_usage(f"{self._prog} {' '.join(words)} [flags]", actions, groups, prefix)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False or action.default in ("", [])
        if silent or "default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def command(
    commands: Commands,
    name: str,
    run: Callable[..., int | None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Register a command.

    run: does it; is given the parsed flags as keywords and returns the exit code, None for 0.
    summary: half a sentence for the list of commands.
    example: a command line that works.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=_Help,
    )
    parser.set_defaults(run=run)
    return parser


def add_extractor_flags(
    parser: argparse.ArgumentParser, *, for_models: bool = False, **defaults: object
) -> None:
    """Flags of `ExtractorOptions`.

    for_models: fields that suit models by themselves have no default here.
    defaults: other ones than the fields' own.
    """
    from dift_geo.detectors.loader import LEARNED, SIFT
    from dift_geo.extractor import ExtractorOptions

    usual: dict[str, object] = {**USUAL, **defaults}
    if for_models:
        usual = dict.fromkeys(SIFT) | usual
    said = (
        f"default at SIFT keypoints: {_as_flags(SIFT)}; at learned ones: "
        f"{_as_flags({'descriptor': ExtractorOptions.descriptor, **LEARNED})}"
    )
    about = textwrap.fill(said, 78, break_on_hyphens=False) if for_models else None
    features = parser.add_argument_group("features", about)
    add_flags(features, ExtractorOptions, without=(*MODEL_FLAGS, "seed"), defaults=usual)
    features.add_argument(
        "--seed", type=SEED, default=0, metavar="N", help="of all that is drawn at random"
    )
    model = parser.add_argument_group("diffusion model")
    add_flags(model, ExtractorOptions, only=MODEL_FLAGS, defaults=usual)


def _as_flags(values: Mapping[str, object]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in values.items())


def take_extractor_options(flags: Flags, *, for_models: bool = False) -> ExtractorOptions:
    """Take the extractor's flags out of `flags`. Raises InputError where they contradict.

    for_models: what was not asked for is as `ExtractorOptions.for_models` has it.
    """
    from dift_geo.extractor import ExtractorOptions

    make = ExtractorOptions.for_models if for_models else ExtractorOptions
    return make(**take_values(ExtractorOptions, flags))


def add_masks_flag(parser: argparse.ArgumentParser) -> None:
    """--masks."""
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="masks as COLMAP has them, FOLDER/NAME.png: no keypoints where black",
    )


def add_match_flags(parser: argparse.ArgumentParser, **defaults: object) -> None:
    """Flags of `MatchOptions`; defaults: other ones than the fields' own."""
    from dift_geo.matching.options import MatchOptions

    add_flags(parser.add_argument_group("matching"), MatchOptions, defaults=defaults)


def take_match_options(flags: Flags) -> MatchOptions:
    """Take the flags of matching out of `flags`."""
    from dift_geo.matching.options import MatchOptions

    return take_flags(MatchOptions, flags)


def take_device(flags: Flags) -> str:
    """Take --device out of `flags`: what `auto` means here, or InputError for what is not there."""
    from dift_geo.backends.device import pick_device

    return str(pick_device(str(flags.pop("device"))))


def add_engine_flags(parser: argparse.ArgumentParser, *, matching: bool) -> None:
    """Flags of `EngineOptions`; matching: whether there is any, which takes memory."""
    from dift_geo.engine.options import EngineOptions

    group = parser.add_argument_group("where it runs")
    add_flags(group, EngineOptions, without=() if matching else ["memory"])


def take_engine(flags: Flags) -> EngineOptions:
    """Take the flags of the engine out of `flags`."""
    from dift_geo.engine.options import EngineOptions

    return take_flags(EngineOptions, flags)


def report_passed_over(found: Listing, masks_wanted: bool) -> None:
    """Say what lies among the photos and is not used, a line for each reason.

    masks_wanted: whether there is a folder of masks already.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.passed_over.items():
        by_reason.setdefault(reason, []).append(name)
    if found.masks and not masks_wanted:
        by_reason["masks among the photos are used only with --masks"] = found.masks
    for reason, names in by_reason.items():
        print(f"dift-geo: passed over: {_listed(names)}: {reason}", file=sys.stderr)


def report_skipped(skipped: list[str]) -> int:
    """Say which images were skipped; returns the exit code."""
    if skipped:
        print(
            f"dift-geo: {len(skipped)} unreadable image(s) skipped: {_listed(skipped)}",
            file=sys.stderr,
        )
    return SKIPPED_SOME if skipped else 0


def report_trust(trust: Mapping[str, Any], quiet: bool = False) -> int:
    """Say whether a model is to be trusted, the last line of a command; returns the exit code.

    trust: of `summary.json`.
    quiet: says nothing.
    """
    if not quiet:
        if trust["weak_images"]:
            print(f"weak images: {_listed(trust['weak_images'])}")
        print(f"trust: {trust['level']}: {'; '.join(trust['reasons'])}")
    return NOT_TRUSTED if trust["level"] == "low" else 0


def _listed(names: Sequence[str]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in names[:SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
