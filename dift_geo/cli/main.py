"""The command line: flags in, one call, one line or one JSON file out. All the work is elsewhere.

Exit codes: 0 done, 1 cannot do it (one line on stderr says why), 2 wrong flags, 3 done but some
images were skipped, 130 interrupted (finished work is kept).
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence

from dift_geo import __version__
from dift_geo.cli.calibrate import add_calibrate
from dift_geo.cli.evaluate import add_evaluate
from dift_geo.cli.exchange import add_export, add_import
from dift_geo.cli.features import add_extract, add_match, add_pairs
from dift_geo.cli.homography import add_homography
from dift_geo.cli.reconstruct import add_reconstruct

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="dift-geo",
        description="Correspondence from diffusion models, for hloc and COLMAP pipelines.",
    )
    parser.add_argument("--version", action="version", version=f"dift-geo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    roads = (
        add_reconstruct,
        add_extract,
        add_pairs,
        add_match,
        add_homography,
        add_calibrate,
        add_evaluate,
    )
    for add in (*roads, add_import, add_export):
        add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = vars(build_parser().parse_args(argv))
    logging.basicConfig(format="dift-geo: %(message)s", level=logging.WARNING)
    options.pop("command")
    run = options.pop("run")
    if "command_line" in options:  # commands that keep it in their results
        options["command_line"] = shlex.join(
            ["dift-geo", *(sys.argv[1:] if argv is None else argv)]
        )
    try:
        return int(run(**options) or 0)
    except KeyboardInterrupt:
        print(
            "dift-geo: interrupted; finished work is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"dift-geo: {' '.join(str(text).split())}", file=sys.stderr)
        return 1
