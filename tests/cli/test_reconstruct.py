"""`dift-geo reconstruct` as a user meets it: exit codes, one line of error, files left behind."""

from __future__ import annotations

import json

import numpy as np
import pycolmap
import pytest
from conftest import textured

from dift_geo.images import write_image
from dift_geo.store.matches import MatchStore


@pytest.mark.parametrize("descriptor", ["dift", "rootsift"])
def test_reconstruct(photos, tmp_path, command, small, descriptor) -> None:
    words = ("reconstruct", photos, tmp_path, "--descriptor", descriptor, *small)
    done = command(*words, "--camera-mode", "single")
    assert done.code == 0, done.err
    assert "5/5 images registered" in done.out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["registered"] == summary["images"] == 5
    assert summary["skipped"] == []
    assert set(summary["seconds"]) == {"extract", "match", "verify", "map"}
    assert pycolmap.Reconstruction(str(tmp_path / "sparse")).num_reg_images() == 5
    before = (tmp_path / "features.h5").stat().st_mtime_ns
    assert command(*words).code == 0  # goes on from what is there
    assert (tmp_path / "features.h5").stat().st_mtime_ns == before


def test_step_by_step_equals_one_command(photos, tmp_path, command, small) -> None:
    f, p, m = (tmp_path / name for name in ("f.h5", "p.txt", "m.h5"))
    rootsift = ["--descriptor", "rootsift", *small]
    assert command("extract", photos, f, *rootsift).code == 0
    assert command("pairs", f, p, "--pairs", "sequential", "--overlap", 2).code == 0
    assert command("match", f, p, m, "--ratio", 0.9).code == 0
    assert command("reconstruct", photos, tmp_path / "a", "--pairs", p, *rootsift).code == 0
    with MatchStore(m) as ours, MatchStore(tmp_path / "a" / "matches.h5") as whole:
        assert list(ours) == list(whole)
        assert all(np.array_equal(ours[pair].pairs, whole[pair].pairs) for pair in ours)
    # what was made before is taken as it is
    done = command("reconstruct", photos, tmp_path / "b", "--features", f, "--matches", m)
    assert done.code == 0, done.err
    summaries = [json.loads((tmp_path / out / "summary.json").read_text()) for out in "ab"]
    assert summaries[0]["registered"] == summaries[1]["registered"] == 5


def bad_folder(tmp_path, kind):
    folder = tmp_path / "photos"
    folder.mkdir()
    if kind == "one image":
        write_image(folder / "a.png", textured((64, 64)))
    if kind == "text":
        for name in ("a.jpg", "b.jpg"):
            (folder / name).write_text("not a picture")
    if kind == "black":
        for name in ("a.png", "b.png", "c.png"):
            write_image(folder / name, np.zeros((64, 64, 3), np.uint8))
    if kind == "1x1":
        for name in ("a.png", "b.png"):
            write_image(folder / name, np.zeros((1, 1, 3), np.uint8))
    return folder if kind != "missing" else folder / "nowhere"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "0 image(s), expected at least 2"),
        ("one image", "1 image(s), expected at least 2"),
        ("text", "0 of 2 images"),
        ("black", "found no model"),
        ("1x1", "found no model"),
        ("missing", "is not a folder"),
    ],
)
def test_bad_photos_give_one_line_and_no_model(tmp_path, command, small, kind, message) -> None:
    folder, out = bad_folder(tmp_path, kind), tmp_path / "out"
    done = command("reconstruct", folder, out, "--descriptor", "rootsift", *small)
    assert done.code == 1
    said = [line for line in done.err.splitlines() if line.startswith("dift-geo: ")]
    (line,) = [line for line in said if "skipped" not in line]
    assert message in line
    assert not (out / "sparse").exists()
    assert not (out / "summary.json").exists()


def test_skipped_images_show_in_summary_and_exit_code(photos, tmp_path, command, small) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / f"übung {path.name}").write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 half a picture")
    done = command("reconstruct", folder, out, "--descriptor", "rootsift", *small)
    assert done.code == 3
    assert json.loads((out / "summary.json").read_text())["skipped"] == ["broken.jpg"]
    assert "broken.jpg" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--matches", "m.h5"], "--matches needs --features"),
        (["--overlap", "0"], "overlap is 0"),
        (["--ratio", "1.5"], "ratio is 1.5"),
        (["--reading", "oriented", "--detector", "listed:x"], "needs keypoints with scale"),
        (["--descriptor", "superpoint"], "needs --detector superpoint"),
        (["--device", "abacus"], "device is 'abacus'"),
        (["--intrinsics", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_contradictions_are_told_before_any_work(photos, tmp_path, command, words, message) -> None:
    out = tmp_path / "out"
    done = command("reconstruct", photos, out, *words)
    assert done.code in (1, 2)
    assert message in done.err
    assert done.code == 2 or len(done.err.splitlines()) == 1
    assert not out.exists()
