"""Nothing is lost to kills, races and full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored import RECIPE, assert_equal, features, left_over

from dift_geo.errors import StoreError, WriteError
from dift_geo.store.features import FeatureStore


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python that knows the names of this file: `python(code, *arguments)`."""
    started: list[subprocess.Popen[str]] = []
    names = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    names += "import h5py, shutil, numpy as np\nfrom test_store_faults import *\n"

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", names + textwrap.dedent(code), *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_kill_in_the_middle_keeps_what_was_flushed(python, tmp_path: Path) -> None:
    writer = python(
        """
        store = FeatureStore(sys.argv[1], RECIPE)
        for i in range(3):
            store[f"{i}.jpg"] = features(seed=i)
            store.flush()
        store["3.jpg"] = features()
        with h5py.File(store.shards / "half.h5.part", "w") as file:
            file["x"] = np.zeros(9)
            print("writing", flush=True)
            time.sleep(60)
        """,
        tmp_path / "f.h5",
    )
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    with FeatureStore(tmp_path / "f.h5") as store:  # even without a merge
        assert list(store) == ["0.jpg", "1.jpg", "2.jpg"]
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        assert not list(store.shards.glob("*.part"))
        assert "3.jpg" not in store
        store["3.jpg"] = features(seed=3)
        store.merge()
    with FeatureStore(tmp_path / "f.h5") as store:
        for i in range(4):
            assert_equal(store[f"{i}.jpg"], features(seed=i))
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("moment", ["os.replace", "Path.unlink"])
def test_a_kill_while_merging_loses_nothing(python, tmp_path: Path, moment: str) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["old.jpg"] = features(seed=9)
        store.merge()
    merger = python(
        f"""
        store = FeatureStore(sys.argv[1], RECIPE)
        for i in range(3):
            store[f"{{i}}.jpg"] = features(seed=i)
            store.flush()
        {moment} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
        store.merge()
        """,
        tmp_path / "f.h5",
    )
    _, err = merger.communicate(timeout=60)
    assert merger.returncode == -signal.SIGKILL, err
    for _ in range(2):
        with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
            assert list(store) == ["0.jpg", "1.jpg", "2.jpg", "old.jpg"]
            assert_equal(store["1.jpg"], features(seed=1))
            store.merge()
    assert left_over(tmp_path) == []


def test_an_interruption_keeps_what_is_finished(tmp_path: Path) -> None:
    def run() -> None:
        with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
            store["a.jpg"] = features()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert_equal(store["a.jpg"], features())


def test_a_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as first:
        first["a"] = features()
        for _ in range(2):
            with pytest.raises(
                StoreError,
                match="being written by another process; wait for it or choose another file",
            ):
                FeatureStore(tmp_path / "f.h5", RECIPE)
        first.flush()
        with FeatureStore(tmp_path / "f.h5") as reader:  # reading is free
            assert list(reader) == ["a"]
    with FeatureStore(tmp_path / "f.h5", RECIPE) as second:
        assert "a" in second


def take_turns(path: Path, counter: Path, turns: int) -> None:
    done = 0
    while done < turns:
        try:
            store = FeatureStore(path, RECIPE)
        except StoreError:
            time.sleep(0.0005)
            continue
        before = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(before + 1))
        store.close()
        done += 1


def test_the_lock_excludes_racing_writers(python, tmp_path: Path) -> None:
    """Each holder adds one to a file, slowly; two holders at once would lose a count."""
    counter = tmp_path / "count"
    counter.write_text("0")
    code = "take_turns(Path(sys.argv[1]), Path(sys.argv[2]), 80)"
    writers = [python(code, tmp_path / "f.h5", counter) for _ in range(3)]
    for writer in writers:
        _, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
    assert counter.read_text() == "240"
    assert left_over(tmp_path) == []


def test_a_lock_file_taken_away_between_open_and_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real, unlinked = fcntl.flock, []

    def flock(file, flags: int) -> None:
        if not unlinked:
            unlinked.append(file)
            (tmp_path / "f.h5.lock").unlink()
        real(file, flags)

    monkeypatch.setattr(fcntl, "flock", flock)
    with FeatureStore(tmp_path / "f.h5", RECIPE):
        assert unlinked
        monkeypatch.undo()
        with pytest.raises(StoreError, match="being written by another process"):
            FeatureStore(tmp_path / "f.h5", RECIPE)


@pytest.mark.skipif(sys.platform != "linux", reason="limits file sizes as Linux does")
@pytest.mark.parametrize("step", ["flush", "merge"])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(
    python, tmp_path: Path, step: str
) -> None:
    """A limit on file sizes makes HDF5's writes fail as a full disk does."""
    writer = python(
        """
        import resource
        try:
            with FeatureStore(sys.argv[1], RECIPE) as store:
                store["small.jpg"] = features()
                store.flush()
                if sys.argv[2] == "merge":
                    store["large.jpg"] = features(20000)
                    store.flush()
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
                if sys.argv[2] == "flush":
                    store["large.jpg"] = features(20000)
                store.merge()
        except WriteError as error:
            print(error)
        """,
        tmp_path / "f.h5",
        step,
    )
    out, err = writer.communicate(timeout=60)
    assert writer.returncode == 0, err
    assert "cannot be written" in out
    assert "what was finished before is kept" in out
    assert not list(tmp_path.rglob("*.part"))
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        assert "small.jpg" in store
        assert ("large.jpg" in store) == (step == "merge")
        store.merge()
    assert left_over(tmp_path) == []


def test_an_unwritable_folder_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = FeatureStore(tmp_path / "f.h5", RECIPE)
    store["a"] = features()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match="No space left on device"):
        store.flush()
    monkeypatch.undo()
    store.flush()  # there is room again: nothing was dropped
    store.close()
    with FeatureStore(tmp_path / "f.h5") as reader:
        assert_equal(reader["a"], features())
