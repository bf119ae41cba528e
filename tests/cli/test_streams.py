"""Output that nobody reads or that has no room, signals, and names of any letters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

DRIVER = """
import sys, time
from importlib import import_module
main = import_module("dift_geo.cli.main")
def act():
    {act}
def add(commands):
    commands.add_parser("act").set_defaults(run=act)
main.COMMANDS = (add,)
sys.exit(main.main(["act"]))
"""

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")


def start(act: str, unbuffered: bool = False, **environment: str) -> subprocess.Popen[bytes]:
    """A command line whose one command does this."""
    words = [sys.executable, *(["-u"] if unbuffered else []), "-c", DRIVER.format(act=act)]
    known = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env=known | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@needs_posix
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("lines", [1, 10_000])
def test_nobody_reads(unbuffered, lines) -> None:
    act = f"time.sleep(1); [print('a line') for _ in range({lines})]"
    with start(act, unbuffered) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 141
    assert error == b""


@needs_posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", [False, True])
def test_output_without_room_is_one_line(unbuffered) -> None:
    words = [sys.executable, *(["-u"] if unbuffered else []), "-c"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*words, DRIVER.format(act="print('all')")],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line


@needs_posix
@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_signals_end_with_their_exit_code(number, code, told) -> None:
    process = start("print('now', flush=True); time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == code
    (line,) = error.decode().splitlines()
    assert told in line
    assert "finished work is kept" in line


def test_letters_that_the_terminal_lacks_are_spelled() -> None:
    process = start("print('übung \\\\udcff')", PYTHONIOENCODING="ascii")
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert out.splitlines() == [b"\\xfcbung \\udcff"]


@pytest.mark.parametrize(
    "act",
    [
        "raise OSError(28, 'No space left on device', 'a/b')",
        "raise RuntimeError('database or disk is full')",
        "raise RuntimeError('write failed') from OSError(28, 'No space left on device')",
    ],
)
def test_a_full_disk_is_no_defect(act) -> None:
    out, error = start(act).communicate(timeout=30)
    assert out == b""
    (line,) = error.decode().splitlines()
    assert "no room left on the disk" in line
    assert "defect" not in line


@pytest.mark.parametrize(
    "act",
    [
        'raise RuntimeError("[enforce fail] DefaultCPUAllocator: can\'t: not enough memory")',
        "raise RuntimeError('std::bad_alloc')",
    ],
)
def test_no_memory_is_no_defect_whoever_says_it(act) -> None:
    _, error = start(act).communicate(timeout=30)
    assert b"no memory left" in error
    assert b"defect" not in error
