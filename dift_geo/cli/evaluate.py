"""`dift-geo evaluate`: methods on a benchmark, tables with intervals out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dift_geo.cli.closing import add_json_flag, close
from dift_geo.cli.flags import SKIPPED_SOME, add_extractor_flags, add_match_flags, command
from dift_geo.cli.maps import CARRIED, add_maps, add_propagation, open_mapped
from dift_geo.cli.places import check_file_to_write
from dift_geo.cli.report import page_words
from dift_geo.cli.rows import Opened, add_rows, named, open_geometric
from dift_geo.cli.scoring import add_choice, add_scoring
from dift_geo.errors import InputError

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands, Flags

__all__ = ["add_evaluate"]

# flags that only one kind of protocols knows, and what they are where nobody gives them
OF_MATCHES: dict[str, object] = {
    "estimator": None,
    "max_error": None,
    "sequences": None,
    "include_large": False,
    "pairs": None,
    "max_angle": None,
    "pairs_per_scene": None,
    "method": [],
    "features": [],
    "matches": [],
    "metric": "cosine",
    "cached": False,
}
OF_MAPS: dict[str, object] = {
    "sequences": None,
    "method": [],
    "threshold_of": None,
    "soft_argmax": False,
    "predictions": [],
    **dict.fromkeys(("top_k", "radius", "frames", "temperature", "short_side")),
}


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
        "images/ with cameras_gt.txt or a COLMAP model; or a benchmark's own layout",
    )
    parser.add_argument(
        "out", type=Path, help="gets results.json, results.md, pairs.csv, pictures/, cache/"
    )
    parser.add_argument("--report", action="store_true", help="also write OUT/report.html")
    add_json_flag(parser)
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="dift",
        metavar="NAME",
        help="whose definitions: dift, gluefactory, loftr or mma of homographies; megadepth1500, "
        "scannet1500, imc or poses of relative poses; pf-willow, spair71k or cub of keypoints of "
        "objects; davis2017 of objects and jhmdb of joints in videos",
    )
    add_extractor_flags(parser, size=None, max_keypoints=None)
    add_match_flags(parser)
    add_rows(parser.add_argument_group("rows of the tables", "default: one, of the flags above"))
    add_scoring(parser.add_argument_group("scoring"))
    add_choice(parser.add_argument_group("what is scored"))
    add_maps(parser.add_argument_group("protocols of maps of whole images"))
    add_propagation(parser.add_argument_group("propagation, for davis2017 and jhmdb", CARRIED))
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


def _evaluate(
    dataset: Path,
    out: Path,
    protocol: str,
    group: list[str],
    bootstrap: int,
    pictures: int,
    cache: Path | None,
    report: bool,
    json: bool,
    command_line: str,
    **flags: object,
) -> int:
    from dift_geo.benchmark.loop import evaluate_task
    from dift_geo.benchmark.table import check_draws
    from dift_geo.report.page import PAGE

    check_draws(bootstrap)
    if report:
        check_file_to_write(out / PAGE)
    groups = {name: members.split(",") for name, members in named(group).items()}
    opened = _open(dataset, out, protocol, flags)
    found = evaluate_task(
        opened.task,
        out,
        opened.methods,
        cache=cache,
        groups=groups,
        draws=bootstrap,
        pictures=pictures,
        device=opened.device,
        command=command_line,
    )
    page = None
    if report:
        from dift_geo.report.evaluation import report_evaluation

        page = report_evaluation(out)
    if not json:
        print(found.markdown())
    rows = {"results": out, "page": None if page is None else page_words(page)}
    close({**found.results, "out": out, "page": page}, json, rows)
    for problem in found.results["problems"]:
        print(f"dift-geo: left out: {problem}", file=sys.stderr)
    return SKIPPED_SOME if found.results["problems"] else 0


def _open(dataset: Path, out: Path, protocol: str, flags: Flags) -> Opened[Any, Any]:
    """The task and its rows; what the other kind of protocols alone knows is refused."""
    from dift_geo.benchmark.run import MAPPED

    mapped = protocol in MAPPED
    known, unknown = (OF_MAPS, OF_MATCHES) if mapped else (OF_MATCHES, OF_MAPS)
    kind = "compares maps of whole images" if mapped else "matches keypoints"
    for name, unset in unknown.items():
        if name not in known and flags.pop(name) != unset:
            raise InputError(
                f"protocol {protocol} {kind}, on which --{name.replace('_', '-')} has nothing to "
                "act; leave it out"
            )
    own: dict[str, Any] = {name: flags.pop(name) for name in known}
    if mapped:
        return open_mapped(dataset, protocol, flags, **own)
    return open_geometric(dataset, out, protocol, flags, **own)
