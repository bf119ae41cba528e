"""`dift-geo extract`, `pairs` and `match`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, textured

from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore


@pytest.fixture(scope="module")
def extracted(photos, tmp_path_factory):
    """Features of the photos and all their pairs."""
    from dift_geo.cli.main import main

    folder = tmp_path_factory.mktemp("extracted")
    f, p = folder / "f.h5", folder / "p.txt"
    flags = ["--descriptor", "rootsift", "--max-keypoints", "250", "--size", "320"]
    assert main(["extract", str(photos), str(f), *flags, "--device", "auto"]) == 0
    assert main(["pairs", str(f), str(p)]) == 0
    return f, p


def match_all(command, extracted, out, *words):
    done = command("match", *extracted, out, *words)
    assert done.code == 0, done.err
    with MatchStore(out) as store:
        return {pair: store[pair].pairs.tolist() for pair in store}


def test_auto_is_a_device_for_matching_too(command, extracted, tmp_path) -> None:
    auto = match_all(command, extracted, tmp_path / "auto.h5", "--device", "auto")
    assert auto == match_all(command, extracted, tmp_path / "cpu.h5", "--device", "cpu")
    assert len(auto) == 10


@pytest.mark.parametrize("word", ["none", "1"])
def test_a_ratio_of_none_or_1_is_off(command, extracted, tmp_path, word) -> None:
    plain = match_all(command, extracted, tmp_path / "plain.h5")
    assert match_all(command, extracted, tmp_path / "off.h5", "--ratio", word) == plain
    tested = match_all(command, extracted, tmp_path / "tested.h5", "--ratio", "0.8")
    assert sum(map(len, tested.values())) < sum(map(len, plain.values()))


@pytest.mark.parametrize("device", ["abacus", "xpu", "cuda:77"])
@pytest.mark.parametrize("step", ["extract", "match"])
def test_an_unknown_device_is_one_line(command, photos, extracted, tmp_path, step, device) -> None:
    inputs = (photos,) if step == "extract" else extracted
    done = command(step, *inputs, tmp_path / "out.h5", "--device", device)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"dift-geo: device is '{device}'")
    assert "defect" not in line
    assert not (tmp_path / "out.h5").exists()


def test_pairs_of_a_folder_of_photos(command, photos, tmp_path) -> None:
    done = command("pairs", photos, tmp_path / "p.txt", "--pairs", "sequential", "--overlap", 1)
    assert done.code == 0
    assert done.out.split()[:4] == ["images", "5", "pairs", "4"]
    assert (tmp_path / "p.txt").read_text().splitlines()[0] == "0.png 1.png"


def test_pairs_refuse_an_overlap_of_nothing(command, photos, tmp_path) -> None:
    done = command("pairs", photos, tmp_path / "p.txt", "--pairs", "sequential", "--overlap", 0)
    assert done.code in (1, 2)
    assert "overlap is 0" in done.err


def test_pairs_by_words_within_a_budget(command, photos, extracted, tmp_path) -> None:
    out, vectors = tmp_path / "p.txt", tmp_path / "g.h5"
    words = ["--how", "retrieval:1", "--how", "sequential:1", "--global-descriptors", vectors]
    done = command("pairs", extracted[0], out, *words, "--budget", 4)
    assert done.code == 0, done.err
    expected = ["0.png 1.png", "1.png 2.png", "2.png 3.png", "3.png 4.png"]
    assert out.read_text().splitlines() == expected
    assert vectors.is_file()
    done = command("pairs", photos, out, *words)
    assert done.code == 1
    assert "retrieval:N needs features: give a features store instead of" in done.err
    done = command("pairs", photos, out, "--how", "exhaustive", "--pairs", "sequential")
    assert "--pairs and --how both say which pairs to match" in done.err
    done = command("reconstruct", photos, tmp_path / "out", "--how", "poses:3")
    assert done.err.splitlines() == [
        "dift-geo: poses:N needs poses: give a COLMAP model with --from-model"
    ]
    assert not (tmp_path / "out").exists()


def test_stores_that_do_not_fit_are_told(tmp_path, command) -> None:
    broken, missing, p, m = (tmp_path / name for name in ("f.h5", "none.h5", "p.txt", "m.h5"))
    broken.write_text("no hdf5")
    p.write_text("a b\n")
    done = command("match", broken, p, m)
    assert done.code == 1
    assert "is no HDF5 file" in done.err
    done = command("match", missing, p, m)
    assert done.code == 1
    assert "no features at" in done.err


def test_a_folder_without_photos_is_told(tmp_path, command) -> None:
    (tmp_path / "empty").mkdir()
    done = command("extract", tmp_path / "empty", tmp_path / "f.h5", "--descriptor", "rootsift")
    assert done.code == 1
    assert "holds no images" in done.err


def test_interrupted_command_goes_on_where_it_was(tmp_path, command) -> None:
    """Ctrl-C in a real process, then the same command again."""
    folder, f = tmp_path / "photos", tmp_path / "f.h5"
    folder.mkdir()
    for seed in range(5):
        write_image(folder / f"{seed}.png", textured((160, 120), seed))
    words = ["extract", str(folder), str(f), "--max-keypoints", "40", "--size", "160"]
    shown, terminal = pty.openpty()  # progress is for terminals
    process = subprocess.Popen(
        [sys.executable, "-m", "dift_geo.cli", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=terminal,
    )
    os.close(terminal)
    said = ""
    while "1/5" not in said:
        try:
            said += os.read(shown, 1000).decode()
        except OSError:  # it ended
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) in (0, 130), said
    os.close(shown)
    finished = command(*words)
    assert finished.code == 0, finished.err
    with FeatureStore(f) as store:
        assert len(store) == 5
    assert not (tmp_path / "f.h5.shards").exists()
