"""The command line: flags in, one call, one line or one JSON file out. All the work is elsewhere.

Exit codes: 0 done, 1 cannot do it (one line on stderr says why), 2 wrong flags, 3 done but some
images were skipped, 4 a model that is not to be trusted, 130 interrupted and 143 stopped by SIGTERM
(finished work is kept), 141 where nobody reads the output any more. With the environment variable
DIFT_GEO_DEBUG=1 every error shows its traceback.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from dift_geo import __version__
from dift_geo.cli.calibrate import add_calibrate
from dift_geo.cli.compare import add_compare
from dift_geo.cli.doctor import add_doctor
from dift_geo.cli.download import add_download
from dift_geo.cli.evaluate import add_evaluate
from dift_geo.cli.exchange import add_export, add_import
from dift_geo.cli.explore import add_explore
from dift_geo.cli.features import add_extract, add_match
from dift_geo.cli.homography import add_homography
from dift_geo.cli.pairs import add_pairs
from dift_geo.cli.plan import add_plan
from dift_geo.cli.reconstruct import add_reconstruct
from dift_geo.cli.report import add_report
from dift_geo.cli.track import add_track
from dift_geo.cli.transfer import add_transfer
from dift_geo.cli.trust import add_trust
from dift_geo.errors import DiftGeoError
from dift_geo.stop import Terminated, stopped_by_sigterm

__all__ = ["build_parser", "main"]

COMMANDS = (
    add_reconstruct,
    add_report,
    add_explore,
    add_plan,
    add_extract,
    add_pairs,
    add_match,
    add_homography,
    add_transfer,
    add_track,
    add_calibrate,
    add_evaluate,
    add_compare,
    add_download,
    add_import,
    add_export,
    add_doctor,
    add_trust,
)
INTERRUPTED, NOBODY_READS, STOPPED = 130, 141, 143  # 128 and the number of the signal
KEPT = "finished work is kept, the same command goes on from there"
# what libraries say, in exceptions of no kind of their own
NO_DISK = ("No space left on device", "disk is full", "Disk quota exceeded")
NO_MEMORY = ("not enough memory", "Insufficient memory", "Cannot allocate memory", "bad_alloc")


class _Help(argparse.HelpFormatter):
    """Counts the indentation of commands, so that the longest names have their line to the end."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        self._action_max_length += self._indent_increment


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """All commands and their flags; where the words of a command line begin with one of them, that
    one alone, since flags are made of options and those of others may load much.
    """
    parser = argparse.ArgumentParser(
        prog="dift-geo",
        description="Correspondence from diffusion models, for hloc and COLMAP pipelines.",
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"dift-geo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = [f"add_{word}" for word in words[:1]]
    for add in [add for add in COMMANDS if [add.__name__] == asked] or COMMANDS:
        add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files hold any letter
    try:
        code = _run(words)
    except SystemExit:  # of argparse
        _all_is_out(0)
        raise
    return _all_is_out(code)


def _run(words: Sequence[str]) -> int:
    flags = vars(build_parser(words).parse_args(words))
    logging.basicConfig(format="dift-geo: %(message)s", level=logging.WARNING)
    del flags["command"]
    run = flags.pop("run")
    if "command_line" in flags:  # commands that keep it in their results
        flags["command_line"] = shlex.join(["dift-geo", *words])
    try:
        with stopped_by_sigterm():
            return int(run(**flags) or 0)
    except KeyboardInterrupt:
        _say(f"interrupted; {KEPT}")
        return INTERRUPTED
    except Terminated:
        _say(f"stopped by SIGTERM; {KEPT}")
        return STOPPED
    except BrokenPipeError:  # as in `dift-geo doctor | head`
        return NOBODY_READS
    except Exception as error:
        if os.environ.get("DIFT_GEO_DEBUG", "0") not in ("", "0"):
            raise
        _say(_in_one_line(error))
        return 1


def _all_is_out(code: int) -> int:
    """The exit code once what was printed is out; another one where it cannot be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            # Python tries again at its end, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(error, BrokenPipeError):
                code = NOBODY_READS
            else:
                _say(f"the output cannot be written: {error.strerror or error}")
                code = code or 1
    return code


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, DiftGeoError):
        return text
    if any(words in str(cause) for cause in _causes(error) for words in NO_DISK):
        return f"no room left on the disk ({text}); make some, and {KEPT}"
    if isinstance(error, OSError):
        return text
    kind = type(error).__name__
    if _no_memory_left(error):
        return f"no memory left; try a smaller --size or --max-batch ({kind}: {text})"
    return (
        f"defect of dift-geo, please report it: {kind}: {text} "
        "(the same command with DIFT_GEO_DEBUG=1 before it shows where)"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those behind it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _no_memory_left(error: Exception) -> bool:
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return True
    torch = sys.modules.get("torch")  # where torch was not loaded, its memory did not run out
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)


def _say(text: str) -> None:
    with suppress(BrokenPipeError):  # noticed when all is done
        print(f"dift-geo: {text}", file=sys.stderr)
