"""SIGTERM and Ctrl-C keep what is done, and end with the exit codes that shells know."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import counting
import pytest
from counting import CountingExtractor

from dift_geo.engine.loops import extract_images
from dift_geo.images import write_image
from dift_geo.stop import Terminated, stopped_by_sigterm
from dift_geo.store.features import FeatureStore

SLOW = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    from counting import CountingExtractor
    from dift_geo.engine import loops

    class Slow(CountingExtractor):
        def extract(self, image, name):
            if len(self.asked) == 3:
                print("three are done", flush=True)
                time.sleep(30)
            return super().extract(image, name)

    names = [f"{i}.png" for i in range(9)]
    loops.extract_images(sys.argv[2], names, Slow(), sys.argv[3])
"""


@pytest.fixture
def photos(tmp_path: Path, texture) -> Path:
    (tmp_path / "photos").mkdir()
    for i in range(9):
        write_image(tmp_path / "photos" / f"{i}.png", texture((80, 60), i))
    return tmp_path / "photos"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_is_done(photos: Path, tmp_path: Path, number: int) -> None:
    """Up to 20 s of work waited for the next flush and were lost."""
    words = [str(Path(counting.__file__).parent), str(photos), str(tmp_path / "f.h5")]
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "three are done\n"
    program.send_signal(number)
    _, err = program.communicate(timeout=60)
    assert program.returncode in ((143,) if number == signal.SIGTERM else (130, -signal.SIGINT))
    assert ("Traceback" in err) == (number == signal.SIGINT)  # which the command line catches
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == ["0.png", "1.png", "2.png"]
    extractor = CountingExtractor()
    names = [f"{i}.png" for i in range(9)]
    extract_images(photos, names, extractor, tmp_path / "f.h5")
    assert extractor.asked == names[3:]


def test_the_handler_is_there_for_the_block_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL

    def block() -> None:
        with stopped_by_sigterm():
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated) as end:
        block()
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_programs_own_handler_stays() -> None:
    got: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    try:
        with stopped_by_sigterm():
            signal.raise_signal(signal.SIGTERM)
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_other_threads_than_the_main_one_run_the_loops(photos: Path, tmp_path: Path) -> None:
    work = (photos, ["0.png"], CountingExtractor(), tmp_path / "f.h5")
    thread = threading.Thread(target=extract_images, args=work)
    thread.start()
    thread.join()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == ["0.png"]
