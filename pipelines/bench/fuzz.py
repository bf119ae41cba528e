#!/usr/bin/env python3
"""What does the package make of files that are not what they should be?

    python pipelines/bench/fuzz.py                            # 1000 images, 300 of everything else
    python pipelines/bench/fuzz.py --images 50 --others 40 --only images databases

Whole samples of every kind of file that is read are damaged in all ways that `mutations` knows, and
read in a process of their own. Right is the value that was written, another value where the format
has no checksum, or an error of one line that names the file. Wrong is a traceback, a crash, more
than ten seconds or more memory than a picture may take, and a file that was harmed by reading it.

names: images whose names leave their folder, hold control characters or what commands could take
for something else go through every command, in folders, stores and databases.

Ends with figures, and with exit code 1 where something was wrong; such files are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from fuzz_kinds import KINDS, Kind, digest
from fuzz_names import NAMES, fuzz_names

from dift_geo.errors import DiftGeoError

SECONDS = 10
MEMORY = 3 << 30  # bytes above what the process has: a picture of 179 million pixels, and room
WHAT = [*KINDS, "names"]


@dataclass(frozen=True)
class Outcome:
    """What became of reading a file.

    what: `read` with a value, `refused` with a message, or `wrong` with what is wrong.
    text: that.
    seconds, megabytes: what it took; of memory, above what the process had.
    """

    what: str
    text: str
    seconds: float = 0.0
    megabytes: float = 0.0


def in_child(read: Callable[[], object], file: Path) -> Outcome:
    """Read in a fork, so that a crash or a hang is seen."""
    back, into = os.pipe()
    begin = time.monotonic()
    pid = os.fork()
    if not pid:
        os.close(back)
        _child(read, file, into)
    os.close(into)
    with os.fdopen(back, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    took = time.monotonic() - begin
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return Outcome("wrong", f"takes more than {SECONDS} s", took)
    if code or not said:
        return Outcome("wrong", f"ends with {code}", took)
    what, text, megabytes = json.loads(said)
    return Outcome(what, text, took, megabytes)


def _megabytes(kind: str) -> float:
    """Of this process: VmRSS now, VmHWM at most, VmSize of addresses."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 1024
    return 0.0


def _child(read: Callable[[], object], file: Path, into: int) -> None:
    """Read, tell what came of it, and end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    before, here = _megabytes("VmRSS"), int(_megabytes("VmSize")) << 20
    resource.setrlimit(resource.RLIMIT_AS, (here + MEMORY, here + MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    told = "wrong", "nothing was said"
    try:
        told = "read", digest(read())
    except DiftGeoError as error:
        named = any(str(place) in str(error) for place in (file.name, file.parent))
        clear = named and "\n" not in str(error)
        told = ("refused" if clear else "wrong"), f"{type(error).__name__}: {error}"
    except BaseException:
        told = "wrong", traceback.format_exc()
    os.write(into, json.dumps([*told, max(0.0, _megabytes("VmHWM") - before)]).encode())
    os._exit(0)


def fuzz(name: str, kind: Kind, trials: int, seed: int, scratch: Path) -> Counter[str]:
    """Damage samples of a kind; what came of it. Files that were taken wrongly are kept."""
    draw = random.Random(f"{name} {seed}")
    whole = scratch / name / "whole"
    whole.mkdir(parents=True)
    files = kind.make(whole)
    right = {}
    for file in files:
        told = in_child(lambda file=file: kind.read(file, _new(scratch / name / "out")), file)
        if told.what != "read":
            raise SystemExit(f"a whole {file} is not read: {told.text}")
        right[file] = told.text
    counts: Counter[str] = Counter()
    slowest, largest = 0.0, 0.0
    for trial in range(trials):
        file = files[trial % len(files)]
        here = scratch / name / f"trial{trial}"
        shutil.copytree(whole, here)
        broken = here / file.relative_to(whole)
        broken.write_bytes(kind.mutate(file.read_bytes(), draw))
        told = in_child(lambda: kind.read(broken, _new(here / "out")), broken)  # noqa: B023
        what = told.what
        if what == "read":
            what = "read as it was" if told.text == right[file] else "read as something else"
        if what == "read as something else" and kind.whole:
            what = "wrong"
        escaped = list(scratch.parent.rglob("*escaped*"))
        if escaped:
            what, told = "wrong", Outcome("wrong", f"written outside its folder: {escaped[0]}")
            escaped[0].unlink()
        counts[what] += 1
        slowest, largest = max(slowest, told.seconds), max(largest, told.megabytes)
        if what == "wrong":
            print(f"{name}, {broken}: {told.text}", flush=True)
        else:
            shutil.rmtree(here)
    print(f"{name}: {dict(counts)}, at most {slowest:.1f} s and {largest:.0f} MB", flush=True)
    return counts


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000, help="trials")
    parser.add_argument("--others", type=int, default=300, help="trials of each other kind")
    parser.add_argument("--names", type=int, default=len(NAMES), help="how many names")
    parser.add_argument("--only", nargs="+", choices=WHAT, default=WHAT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keeps what went wrong; default: a new folder")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # forks inherit no threads
    cv2.setNumThreads(1)
    logging.disable(logging.WARNING)
    scratch = options.out or Path(tempfile.mkdtemp(prefix="fuzz-"))
    total: Counter[str] = Counter()
    for name in options.only:
        if name == "names":
            total += fuzz_names(scratch / "names", NAMES[: options.names])
            continue
        trials = options.images if name == "images" else options.others
        total += fuzz(name, KINDS[name], trials, options.seed, scratch / "files")
    print(f"all: {dict(total)}")
    if not total["wrong"] and options.out is None:
        shutil.rmtree(scratch)
    return int(total["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
