"""The stores on disk: hloc's layout, nothing lost to kills, races, full disks or awkward names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore, pair_key
from dift_geo.errors import RecipeError, StoreError
from dift_geo.store.shards import MAX_SHARDS
from dift_geo.types import Features, Keypoints, Matches

RECIPE = {"detector": {"name": "sift", "n": 5}, "size": None, "layers": (1, 2)}
NAMES = [
    "a.jpg",
    "with space.png",
    "日本/ä.jpg",
    "deep/er/est/x.jpg",
    "deep/a.jpg",
    "a.jpg/b.png",
    "x/keypoints/c.png",
]


def features(n: int = 5, seed: int = 0, framed: bool = True, dim: int = 8) -> Features:
    random = np.random.default_rng(seed)
    frame = (random.uniform(1, 9, n), random.uniform(-3, 3, n)) if framed else (None, None)
    keypoints = Keypoints(random.uniform(0, 5000, (n, 2)), random.random(n), (6000, 4000), *frame)
    rows = random.standard_normal((n, dim))
    return Features(keypoints, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def matches(pairs, scores=None) -> Matches:
    pairs = np.array(pairs).reshape(-1, 2)
    return Matches(pairs, np.full(len(pairs), 0.5) if scores is None else scores)


def assert_equal(got: Features, expected: Features) -> None:
    # float32: not a bit lost
    np.testing.assert_array_equal(got.keypoints.xy, expected.keypoints.xy)
    assert got.keypoints.size_wh == expected.keypoints.size_wh
    for field in ("scale", "angle"):
        a, b = getattr(got.keypoints, field), getattr(expected.keypoints, field)
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b) if a is not None else None
    np.testing.assert_allclose(got.keypoints.scores, expected.keypoints.scores, rtol=1e-3)
    np.testing.assert_allclose(got.descriptors, expected.descriptors, atol=5e-4)


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in {".part", ".lock", ".shards"})


# round trips


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("framed", [True, False])
def test_features_round_trip(tmp_path: Path, n: int, framed: bool) -> None:
    written = features(n, framed=framed)
    with FeatureStore(tmp_path / "new/f.h5", RECIPE) as store:
        store["a.jpg"] = written
        assert_equal(store["a.jpg"], written)  # before it is on disk
        store.merge()
    with FeatureStore(tmp_path / "new/f.h5") as store:
        assert list(store) == ["a.jpg"]
        assert_equal(store["a.jpg"], written)
        assert store.recipe == {**RECIPE, "layers": [1, 2]}
    assert left_over(tmp_path / "new") == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("flush_each", [True, False])
def test_awkward_names(tmp_path: Path, order: int, flush_each: bool) -> None:
    """Spaces, unicode, folders, an image with the name of another's folder, a folder named like a
    dataset.
    """
    names = NAMES[::order]
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i, name in enumerate(names):
            assert name not in store
            store[name] = features(seed=i)
            if flush_each:
                store.flush()
        for absent in ("deep", "x", "deep/er", "x/keypoints", "a.jpg/keypoints", "b.png"):
            assert absent not in store
        store.merge()
        assert list(store) == sorted(names)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == sorted(names)
        assert len(store) == len(names)
        for i, name in enumerate(names):
            assert_equal(store[name], features(seed=i))


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a.jpg/b.png"] = features()
        store.flush()
        assert "a.jpg" not in store
        with pytest.raises(KeyError, match=r"'a.jpg' is not in .*f.h5"):
            store["a.jpg"]


@pytest.mark.parametrize("pairs", [[], [[0, 3]], [[1, 40000], [2, 32768], [70000, 0]]])
def test_matches_round_trip_past_int16(tmp_path: Path, pairs) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a/x.jpg", "b y.jpg"), matches(pairs), 80000)
        store.merge()
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == [("a/x.jpg", "b y.jpg")]
        np.testing.assert_array_equal(
            store["a/x.jpg", "b y.jpg"].pairs, np.array(pairs).reshape(-1, 2)
        )
    with h5py.File(tmp_path / "m.h5") as file:
        group = file["a-x.jpg/b y.jpg"]  # as hloc's names_to_pair
        assert group["matches0"].shape == group["matching_scores0"].shape == (80000,)
        assert group["matches0"].dtype == np.int32
        assert group["matching_scores0"].dtype == np.float16


def test_matches_are_read_in_either_order(tmp_path: Path) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a", "b"), matches([[0, 7], [1, 3]], [0.25, 0.75]), 2)
        for _ in range(2):  # pending, then on disk
            assert ("b", "a") in store
            assert ("b", "c") not in store
            swapped = store["b", "a"]
            assert swapped.pairs.tolist() == [[3, 1], [7, 0]]
            assert swapped.scores.tolist() == [0.75, 0.25]
            with pytest.raises(KeyError, match=r"\('b', 'c'\) is not in .*m.h5, in neither order"):
                store["b", "c"]
            store.flush()


def test_matches_that_do_not_fit_the_layout_are_refused(tmp_path: Path) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        with pytest.raises(
            ValueError, match=r"\('a', 'b'\) use keypoint 5 of the first image, which has 5"
        ):
            store.put(("a", "b"), matches([[5, 0]]), 5)
        with pytest.raises(ValueError, match="use a keypoint of the first image twice"):
            store.put(("a", "b"), matches([[1, 0], [1, 2]]), 5)


@pytest.mark.parametrize("flushed", [True, False])
def test_pairs_that_share_a_place_are_told_apart(tmp_path: Path, flushed: bool) -> None:
    with MatchStore(tmp_path / "m.h5", RECIPE) as store:
        store.put(("a/b.jpg", "c.jpg"), matches([[0, 0]]), 1)
        store.flush() if flushed else None
        with pytest.raises(
            StoreError, match=r"same place in matches files \(hloc's layout\); rename an image"
        ):
            ("a-b.jpg", "c.jpg") in store  # noqa: B015
        with pytest.raises(StoreError, match="rename an image"):
            store.put(("a-b.jpg", "c.jpg"), matches([[0, 0]]), 1)


def test_pair_key_is_hlocs() -> None:
    assert pair_key("db/1.jpg", "q/x/2.jpg") == "db-1.jpg/q-x-2.jpg"


def test_finished_values_are_not_replaced(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = features(seed=0)
        store["a"] = features(seed=1)  # not yet finished
        store.flush()
        with pytest.raises(
            StoreError, match=r"already holds 'a'; delete the file to make it again"
        ):
            store["a"] = features(seed=2)
        assert_equal(store["a"], features(seed=1))


# files of other programs


def hloc_file(path: Path, dtype=np.float16) -> Features:
    """As hloc's extract_features writes with --as_half: everything float16, keypoints too."""
    written = features(6)
    with h5py.File(path, "w") as file:
        group = file.create_group("query/a.jpg")
        keypoints = group.create_dataset("keypoints", data=written.keypoints.xy.astype(dtype))
        keypoints.attrs["uncertainty"] = 1.0
        group.create_dataset("descriptors", data=written.descriptors.T.astype(dtype))
        group.create_dataset("scores", data=written.keypoints.scores.astype(dtype))
        group.create_dataset("image_size", data=np.array([6000, 4000]))
    return written


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_reads_features_of_hloc(tmp_path: Path, dtype) -> None:
    written = hloc_file(tmp_path / "f.h5", dtype)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.recipe is None
        assert list(store) == ["query/a.jpg"]
        read = store["query/a.jpg"]
        assert read.keypoints.scale is None
        np.testing.assert_array_equal(
            read.keypoints.xy, written.keypoints.xy.astype(dtype).astype(np.float32)
        )
        assert read.descriptors.shape == (6, 8)
        with pytest.raises(StoreError, match="open for reading; give a recipe to write"):
            store["b"] = written
        with pytest.raises(StoreError, match="open for reading; give a recipe to write"):
            store.merge()


def test_reads_matches_of_hloc(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("query-a.jpg/db-b.jpg")
        group.create_dataset("matches0", data=np.array([-1, 4, -1, 2], np.int16))
        group.create_dataset("matching_scores0", data=np.array([0, 0.5, 0, 1], np.float16))
    with MatchStore(tmp_path / "m.h5") as store:
        assert store["query/a.jpg", "db/b.jpg"].pairs.tolist() == [[1, 4], [3, 2]]
        assert store["query/a.jpg", "db/b.jpg"].scores.tolist() == [0.5, 1]
        assert list(store) == [("query-a.jpg", "db-b.jpg")]


def test_a_file_of_another_program_is_not_appended_to(tmp_path: Path) -> None:
    hloc_file(tmp_path / "f.h5")
    with pytest.raises(
        RecipeError,
        match=r"has no recipe \(written by another program\); choose another output file",
    ):
        FeatureStore(tmp_path / "f.h5", RECIPE)
    assert left_over(tmp_path) == []


def test_another_layout_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a/keypoints"] = np.zeros((3, 2))
    with (
        FeatureStore(tmp_path / "f.h5") as store,
        pytest.raises(StoreError, match=r"in another layout: .*; expected hloc's"),
    ):
        store["a"]


def test_the_layout_is_hlocs_without_links(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for name in NAMES:
            store[name] = features()
            store.flush()
        store.merge()
    with h5py.File(tmp_path / "f.h5") as file:
        links: list = []
        file.visit_links(lambda name: links.append(file.get(name, getlink=True)))
        assert {type(link) for link in links} == {h5py.HardLink}
        group = file["deep/er/est/x.jpg"]
        found = {name: (item.shape, item.dtype) for name, item in group.items()}
        assert found == {
            "keypoints": ((5, 2), np.float32),
            "descriptors": ((8, 5), np.float16),
            "scores": ((5,), np.float16),
            "image_size": ((2,), np.int64),
            "scales": ((5,), np.float32),
            "oris": ((5,), np.float32),
        }
        assert group["keypoints"].attrs["uncertainty"] == 1
        assert group["image_size"][()].tolist() == [6000, 4000]


# recipes and broken files


def test_another_recipe_is_refused_and_shown(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = features()
    for merged in (False, True):
        with pytest.raises(
            RecipeError,
            match=r"other settings: detector.n is 5, expected 6. Delete it or choose another file",
        ):
            FeatureStore(tmp_path / "f.h5", {**RECIPE, "detector": {"name": "sift", "n": 6}})
        with pytest.raises(
            RecipeError, match=r"extra is None, expected 1; size is None, expected 640"
        ):
            FeatureStore(tmp_path / "f.h5", {**RECIPE, "size": 640, "extra": 1})
        if not merged:
            # the lock is free after the refusals
            with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
                store.merge()


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no features at .*f.h5"):
        FeatureStore(tmp_path / "f.h5")
    with pytest.raises(FileNotFoundError, match=r"no matches at .*m.h5"):
        MatchStore(tmp_path / "m.h5")
    (tmp_path / "f.h5").write_text("words")
    for recipe in (None, RECIPE):
        with pytest.raises(
            StoreError, match=r"f.h5 is no readable HDF5 file .*; delete it and run again"
        ):
            FeatureStore(tmp_path / "f.h5", recipe)
    assert left_over(tmp_path) == []


def test_an_empty_run_leaves_an_empty_store(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store.merge()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == []
        assert "a" not in store


# kills, races, full disks


def python(code: str, *arguments: object) -> subprocess.Popen:
    header = "import sys; sys.path.insert(0, sys.argv[1]); from test_store import *\n"
    command = [
        sys.executable,
        "-c",
        header + textwrap.dedent(code),
        str(Path(__file__).parent),
        *map(str, arguments),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_kill_in_the_middle_keeps_what_was_flushed(tmp_path: Path) -> None:
    writer = python(
        """
        store = FeatureStore(sys.argv[2], RECIPE)
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
    assert writer.stdout is not None
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


@pytest.mark.parametrize("moment", ["os.replace", "shutil.rmtree"])
def test_a_kill_while_merging_loses_nothing(tmp_path: Path, moment: str) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["old.jpg"] = features(seed=9)
        store.merge()
    merger = python(
        f"""
        import shutil
        store = FeatureStore(sys.argv[2], RECIPE)
        for i in range(3):
            store[f"{{i}}.jpg"] = features(seed=i)
            store.flush()
        {moment} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
        store.merge()
        """,
        tmp_path / "f.h5",
    )
    assert merger.wait() == -signal.SIGKILL, merger.stderr.read() if merger.stderr else ""
    merger.communicate()
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


def test_the_lock_excludes_racing_writers(tmp_path: Path) -> None:
    """Each holder adds one to a file, slowly; two holders at once would lose a count."""
    counter = tmp_path / "count"
    counter.write_text("0")
    code = "take_turns(Path(sys.argv[2]), Path(sys.argv[3]), 80)"
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
            unlinked.append(file.name)
            os.unlink(file.name)
        real(file, flags)

    monkeypatch.setattr(fcntl, "flock", flock)
    with FeatureStore(tmp_path / "f.h5", RECIPE):
        monkeypatch.undo()
        with pytest.raises(StoreError, match="being written by another process"):
            FeatureStore(tmp_path / "f.h5", RECIPE)


@pytest.mark.skipif(sys.platform != "linux", reason="limits file sizes as Linux does")
@pytest.mark.parametrize("step", ["flush", "merge"])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path, step: str) -> None:
    """A limit on file sizes makes HDF5's writes fail as a full disk does."""
    writer = python(
        """
        import resource
        try:
            with FeatureStore(sys.argv[2], RECIPE) as store:
                store["small.jpg"] = features()
                store.flush()
                if sys.argv[3] == "merge":
                    store["large.jpg"] = features(20000)
                    store.flush()
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
                if sys.argv[3] == "flush":
                    store["large.jpg"] = features(20000)
                store.merge()
        except StoreError as error:
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
    with pytest.raises(StoreError, match="No space left on device"):
        store.flush()
    monkeypatch.undo()
    store.flush()  # there is room again: nothing was dropped
    store.close()
    with FeatureStore(tmp_path / "f.h5") as reader:
        assert_equal(reader["a"], features())


def test_many_shards_are_folded_before_file_handles_run_out(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        for i in range(MAX_SHARDS + 5):
            store[f"{i}.jpg"] = features(1, seed=i)
            store.flush()
        assert len(list(store.shards.glob("*.h5"))) < 10
        assert len(store) == MAX_SHARDS + 5
