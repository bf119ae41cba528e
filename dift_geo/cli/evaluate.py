"""`dift-geo evaluate`: methods on a benchmark, tables with intervals out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from dift_geo.cli.flags import (
    SKIPPED_SOME,
    add_extractor_flags,
    add_match_flags,
    command,
    take_extractor_options,
    take_match_options,
)
from dift_geo.cli.scoring import add_choice, add_scoring
from dift_geo.errors import InputError

if TYPE_CHECKING:
    from dift_geo.benchmark.methods import AnyMethod, Metric
    from dift_geo.cli.flags import Commands
    from dift_geo.extractor import ExtractorOptions
    from dift_geo.geometry.robust import Estimator
    from dift_geo.matching.options import MatchOptions
    from dift_geo.types import Features

__all__ = ["add_evaluate"]


def add_evaluate(commands: Commands) -> None:
    """Register the command."""
    from dift_geo.benchmark.run import PROTOCOLS

    parser = command(
        commands,
        "evaluate",
        _evaluate,
        "photos of known homography or pose -> tables",
        "dift-geo evaluate hpatches/ out/ --protocol gluefactory "
        "--method tiny --method rootsift:descriptor=rootsift",
    )
    parser.add_argument(
        "dataset",
        type=Path,
        help="folder of sequences: images 1 to 6 and H_1_2 to H_1_6; for relative poses of scenes: "
        "images/ with cameras_gt.txt or a COLMAP model, or a benchmark's own layout",
    )
    parser.add_argument(
        "out", type=Path, help="gets results.json, results.md, pairs.csv, pictures/, cache/"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="dift",
        help="whose definitions: of homographies, the last four of relative poses",
    )
    add_extractor_flags(parser, size=None, max_keypoints=None)
    add_match_flags(parser)
    _add_rows(parser.add_argument_group("rows of the tables", "default: one, of the flags above"))
    add_scoring(parser.add_argument_group("scoring"))
    add_choice(parser.add_argument_group("what is scored"))
    for flag, now in (("--compare", "compare OUT OUT"), ("--download", "download DATASET")):
        parser.add_argument(flag, nargs="*", action=_Moved, const=now, help=argparse.SUPPRESS)
    parser.set_defaults(command_line="")


class _Moved(argparse.Action):
    """A flag of 0.1 that is a command of its own now."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string} is a command of its own: dift-geo {self.const}")


def _add_rows(group: argparse._ArgumentGroup) -> None:
    from dift_geo.benchmark.methods import Metric

    group.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME[:FLAG=VALUE,...]",
        help="one with the flags above, but for those named",
    )
    group.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="of another program: DIFT's npz files or hloc's HDF5",
    )
    group.add_argument(
        "--matches",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="hloc's, for features of that NAME",
    )
    group.add_argument(
        "--metric", choices=get_args(Metric), default="cosine", help="to match such features by"
    )
    group.add_argument(
        "--keypoints",
        type=Path,
        metavar="DIR",
        help="as --detector listed:DIR, SEQUENCE-K.kp files",
    )
    group.add_argument(
        "--cached",
        action="store_true",
        help="score the stores of the last run into OUT again, load no network",
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What the flags ask for as rows of the tables, in the user's words."""

    method: Sequence[str]
    features: Sequence[str]
    matches: Sequence[str]
    metric: Metric
    cached: bool

    def methods(
        self, out: Path, extractor: ExtractorOptions, matching: MatchOptions
    ) -> list[AnyMethod[Features]]:
        """The methods. out: of an earlier run, where its stores are wanted."""
        from dift_geo.benchmark.methods import stored_methods
        from dift_geo.benchmark.words import method_from_words

        found: list[AnyMethod[Features]] = []
        if self.cached:
            found += stored_methods(out)
        elif self.method or not self.features:
            words = self.method or [_name_of(extractor)]
            found += [method_from_words(word, extractor, matching) for word in words]
        return [*found, *self._foreign(matching)]

    def _foreign(self, matching: MatchOptions) -> list[AnyMethod[Features]]:
        from dift_geo.benchmark.methods import ForeignMethod

        files = _named(self.matches)
        found: list[AnyMethod[Features]] = []
        for name, path in _named(self.features).items():
            matches = Path(files.pop(name)) if name in files else None
            found.append(ForeignMethod(name, Path(path), matches, self.metric, matching.ratio))
        if files:
            raise InputError(f"--matches names {', '.join(files)}, which no --features names")
        return found


def _evaluate(
    dataset: Path,
    out: Path,
    protocol: str,
    estimator: Estimator | None,
    max_error: float | Literal["best"] | None,
    sequences: list[str] | None,
    include_large: bool,
    pairs: Path | None,
    max_angle: float | None,
    pairs_per_scene: int | None,
    method: list[str],
    features: list[str],
    matches: list[str],
    metric: Metric,
    cached: bool,
    group: list[str],
    bootstrap: int,
    pictures: int,
    cache: Path | None,
    command_line: str,
    **flags: object,
) -> int:
    from dift_geo.benchmark.loop import evaluate_task
    from dift_geo.benchmark.run import open_task
    from dift_geo.benchmark.table import check_draws

    check_draws(bootstrap)
    rows = _Rows(method=method, features=features, matches=matches, metric=metric, cached=cached)
    groups = {name: members.split(",") for name, members in _named(group).items()}
    extractor, matching = _options(protocol, flags)
    task = open_task(
        dataset,
        protocol,
        estimator=estimator,
        max_error_px=max_error,
        sequences=sequences,
        include_large=include_large,
        pairs=pairs,
        max_angle_deg=max_angle,
        pairs_per_scene=pairs_per_scene,
        seed=extractor.seed,
    )
    found = evaluate_task(
        task,
        out,
        rows.methods(out, extractor, matching),
        cache=cache,
        groups=groups,
        draws=bootstrap,
        pictures=pictures,
        device=extractor.device,
        command=command_line,
    )
    print(found.markdown())
    for problem in found.results["problems"]:
        print(f"dift-geo: left out: {problem}", file=sys.stderr)
    return SKIPPED_SOME if found.results["problems"] else 0


def _options(protocol: str, flags: dict[str, object]) -> tuple[ExtractorOptions, MatchOptions]:
    """What holds for every method that says nothing else."""
    from dift_geo.backends.device import pick_device
    from dift_geo.benchmark.run import default_keypoints

    keypoints = flags.pop("keypoints")
    if keypoints is not None:
        flags["detector"] = f"listed:{keypoints}"
    flags["max_keypoints"] = flags["max_keypoints"] or default_keypoints(protocol)
    matching = take_match_options(flags)
    extractor = take_extractor_options(flags)
    return replace(extractor, device=str(pick_device(extractor.device))), matching


def _named(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` words by name."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InputError(f"got {text!r}, expected NAME=VALUE")
        found[name] = value
    return found


def _name_of(extractor: ExtractorOptions) -> str:
    """What to call the one method that the flags describe: tiny, tiny-dense, rootsift,
    tiny+rootsift.
    """
    reading = f"-{extractor.reading}" if extractor.reading else ""
    return extractor.descriptor.replace("dift", Path(extractor.backend).name + reading)
