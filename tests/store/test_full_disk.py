"""A disk that fills up, forbids or knows no locks: one line each, and nothing finished is lost."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
from stored import RECIPE, assert_equal, features, left_over

from dift_geo.errors import StoreError, WriteError
from dift_geo.store.features import FeatureStore

resource = pytest.importorskip("resource")  # Windows has no limits of this kind
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks and limits as Linux does")
FULL, UNCLEAR, DONE = 3, 4, 0


def in_fork(work: Callable[[], int]) -> int:
    """The exit code, or the negative of the signal that ended it."""
    pid = os.fork()
    if not pid:
        code = 9
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write_all(path: Path, images: int = 12) -> int:
    """Features of some size, one flush each, so that folding and merging are in it."""
    try:
        with FeatureStore(path, RECIPE) as store:
            for i in range(images):
                if f"{i}.jpg" not in store:
                    store[f"{i}.jpg"] = features(60, seed=i)
                    store.flush()
            store.merge()
    except WriteError as error:
        one_line = re.fullmatch(
            r".*h5 cannot be written \(.*\); what was finished before is kept", str(error)
        )
        return FULL if one_line else UNCLEAR
    return DONE


def holds_all(path: Path, images: int = 12) -> None:
    with FeatureStore(path) as store:
        assert len(store) == images
        for i in range(images):
            assert_equal(store[f"{i}.jpg"], features(60, seed=i))
    assert left_over(path.parent) == []


@linux
@pytest.mark.parametrize("start", range(0, 6000, 2000))
def test_any_size_at_which_files_stop_to_grow(tmp_path: Path, start: int) -> None:
    """HDF5 that meets a failing write, above all on closing, takes the process with it."""
    codes = set()
    for limit in [*range(start, start + 2000, 193), *range(8 * start, 8 * start + 16000, 2221)]:
        path = tmp_path / str(limit) / "f.h5"

        def limited(limit: int = limit, path: Path = path) -> int:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return write_all(path)

        code = in_fork(limited)
        assert code in (FULL, DONE), f"{limit} bytes end with {code}"
        codes.add(code)
        assert not [*path.parent.rglob("*.part")]
        if limit % 5 == 0:
            assert write_all(path) == DONE
            holds_all(path)
    assert FULL in codes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() or _mount("-t", "tmpfs", "-o", "size=100k", "none", place):
        pytest.skip("a file system can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _mount(*words: object) -> int:
    return subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode


@linux
def test_a_disk_that_is_full(small_disk: Path) -> None:
    path = small_disk / "f.h5"
    for size in range(20, 130, 11):  # kB
        assert _mount("-o", f"remount,size={size}k", small_disk) == 0
        assert in_fork(lambda: write_all(path)) in (FULL, DONE), f"{size} kB"
        with FeatureStore(path) as store:  # what is finished can be read all the time
            done = [assert_equal(store[n], features(60, seed=int(n[:-4]))) for n in store]
        assert not [*small_disk.rglob("*.part")]
    assert done
    assert _mount("-o", "remount,size=1m", small_disk) == 0
    assert write_all(path) == DONE
    holds_all(path)


@linux
def test_a_whole_program_survives_a_full_disk(small_disk: Path) -> None:
    """To its very end, where HDF5 closes what is still open."""
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_full_disk import *
        print(write_all(Path(sys.argv[1]), 40))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(small_disk / "f.h5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{FULL}\n", "")


@linux
def test_a_disk_that_can_only_be_read(small_disk: Path) -> None:
    path = small_disk / "f.h5"
    assert write_all(path, 2) == DONE
    assert _mount("-o", "remount,ro", small_disk) == 0
    with pytest.raises(WriteError, match=r"f.h5 cannot be written: Read-only file system; choose"):
        FeatureStore(path, RECIPE)
    with pytest.raises(WriteError, match=r"cannot be written: Read-only file system"):
        FeatureStore(small_disk / "new" / "g.h5", RECIPE)
    holds_all(path, 2)


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_folder_and_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "f.h5"
    assert write_all(path, 2) == DONE
    path.parent.chmod(0o755)
    for parent in path.parents:
        if parent.stat().st_mode & 0o5 != 0o5:
            parent.chmod(0o755)

    def refusals() -> int:
        os.setuid(65534)
        holds_all(path, 2)
        with pytest.raises(WriteError, match=r"cannot be written: Permission denied; choose"):
            FeatureStore(path, RECIPE)
        return 0

    def may_not_read() -> int:
        os.setuid(65534)
        with pytest.raises(StoreError, match=r"f.h5 may not be read \(permission denied\)"):
            FeatureStore(path)
        return 0

    assert in_fork(refusals) == 0
    path.chmod(0o600)
    assert in_fork(may_not_read) == 0
    holds_all(path, 2)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_another_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    path = tmp_path / "f.h5"
    with FeatureStore(path, RECIPE) as store:
        store["a"] = features()
        for _ in range(2):
            with pytest.raises(StoreError, match=r"being written by another process; wait for it"):
                FeatureStore(path, RECIPE)
        store.merge()
    assert [file.name for file in tmp_path.iterdir()] == ["f.h5"]
    with FeatureStore(path, RECIPE) as store:
        assert_equal(store["a"], features())


def test_reading_where_hdf5_cannot_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = features()
        store.merge()
    real = h5py.File

    def without_locks(path, mode: str = "r", **options):
        if options.get("locking") is not False:
            raise OSError(
                "Unable to synchronously open file (unable to lock file, errno = 37, "
                "error message = 'No locks available')"
            )
        return real(path, mode, **options)

    monkeypatch.setattr(h5py, "File", without_locks)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert_equal(store["a"], features())


@pytest.mark.parametrize("text", ["", "12345\nhost\n"])
def test_lock_files_that_nobody_holds_keep_nobody_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.h5.lock").write_text(text)
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store.merge()
    assert left_over(tmp_path) == []


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    shards = tmp_path / "f.h5.shards"
    shards.mkdir()
    for leftover in (shards / "00000001.h5.part", tmp_path / "f.h5.part"):
        leftover.write_text("half")
    with FeatureStore(tmp_path / "f.h5", RECIPE):
        pass
    assert [*tmp_path.iterdir()] == []
    write_all(tmp_path / "f.h5", 2)
    shards.mkdir()
    with FeatureStore(tmp_path / "f.h5", RECIPE):
        pass
    holds_all(tmp_path / "f.h5", 2)
