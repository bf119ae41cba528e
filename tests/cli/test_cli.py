"""The command line as a user meets it: exit codes, one line of error, files left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pycolmap
import pytest
from conftest import ROOT, textured

from dift_geo.cli.main import main
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

FLAGS = ["--max-keypoints", "250", "--size", "320"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five views of a box: two textured planes at right angles, by their exact homographies."""
    folder = tmp_path_factory.mktemp("photos")
    size_wh, focal = (320, 240), 300.0
    K = np.array([[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]])
    planes = []  # texture, world_from_texture (3, 3): columns are the axes per pixel and the origin
    for seed, axis in ((0, [0.70, 0, 0.72]), (1, [-0.70, 0, 0.72])):
        origin = np.array([0.0, -1.5, 0.0])
        planes.append(
            (
                textured((400, 400), seed),
                np.stack([np.array(axis) * 0.0075, [0, 0.0075, 0], origin], 1),
            )
        )
    for index, angle in enumerate(np.linspace(-0.3, 0.3, 5)):
        R = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        view = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
        for texture, world_from_texture in planes:
            H = K @ (
                R @ world_from_texture + np.array([[0, 0, 0.0], [0, 0, 0.05 * index], [0, 0, 3.5]])
            )
            mask = cv2.warpPerspective(np.ones(texture.shape[:2], np.uint8), H, size_wh)
            view[mask > 0] = cv2.warpPerspective(texture, H, size_wh)[mask > 0]
        write_image(folder / f"{index}.png", view)
    return folder


@pytest.mark.parametrize("descriptor", ["dift", "rootsift"])
def test_reconstruct(photos, tmp_path, capsys, descriptor):
    code = main(
        [
            "reconstruct",
            str(photos),
            str(tmp_path),
            "--descriptor",
            descriptor,
            "--camera-mode",
            "single",
            *FLAGS,
        ]
    )
    assert code == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["registered"] == summary["images"] == 5
    assert summary["skipped"] == []
    assert set(summary["seconds"]) == {"extract", "match", "verify", "map"}
    assert pycolmap.Reconstruction(str(tmp_path / "sparse")).num_reg_images() == 5
    assert "5/5 images registered" in capsys.readouterr().out
    before = os.stat(tmp_path / "features.h5").st_mtime_ns
    # resumes
    assert (
        main(["reconstruct", str(photos), str(tmp_path), "--descriptor", descriptor, *FLAGS]) == 0
    )
    assert os.stat(tmp_path / "features.h5").st_mtime_ns == before


def test_step_by_step_equals_one_command(photos, tmp_path):
    f, p, m = (str(tmp_path / name) for name in ("f.h5", "p.txt", "m.h5"))
    assert main(["extract", str(photos), f, "--descriptor", "rootsift", *FLAGS]) == 0
    assert main(["pairs", f, p, "--pairs", "sequential", "--overlap", "2"]) == 0
    assert main(["match", f, p, m, "--ratio", "0.95"]) == 0
    assert (
        main(
            [
                "reconstruct",
                str(photos),
                str(tmp_path / "out"),
                "--descriptor",
                "rootsift",
                "--pairs",
                p,
                *FLAGS,
            ]
        )
        == 0
    )
    with MatchStore(m) as ours, MatchStore(tmp_path / "out" / "matches.h5") as road:
        assert list(ours) == list(road)
        assert all(np.array_equal(ours[pair].pairs, road[pair].pairs) for pair in ours)


def test_homography(tmp_path, capsys):
    picture = textured((320, 240))
    H = np.array([[0.9, -0.2, 40], [0.15, 0.95, -10], [1e-4, -2e-4, 1]])
    write_image(tmp_path / "a.png", picture)
    write_image(tmp_path / "b.png", cv2.warpPerspective(picture, H, (320, 240)))
    assert (
        main(
            [
                "homography",
                str(tmp_path / "a.png"),
                str(tmp_path / "b.png"),
                "--out",
                str(tmp_path / "ab"),
                *FLAGS,
            ]
        )
        == 0
    )
    record = json.loads((tmp_path / "ab" / "homography.json").read_text())
    corners = np.array([[[0.0, 0], [319, 0], [319, 239], [0, 239]]])
    found = cv2.perspectiveTransform(corners, np.array(record["H_1_from_0"]))
    assert np.linalg.norm(found - cv2.perspectiveTransform(corners, H), axis=2).max() < 2
    assert (tmp_path / "ab" / "matches.png").is_file()
    write_image(tmp_path / "black.png", np.zeros((240, 320, 3), np.uint8))
    capsys.readouterr()
    assert (
        main(
            [
                "homography",
                str(tmp_path / "a.png"),
                str(tmp_path / "black.png"),
                "--out",
                str(tmp_path / "x"),
                *FLAGS,
            ]
        )
        == 1
    )
    assert "no homography fits the 0 matches" in capsys.readouterr().err


def test_calibrate_fits_and_is_used(tmp_path, capsys):
    (tmp_path / "p").mkdir()
    for seed in range(4):
        write_image(tmp_path / "p" / f"{seed}.png", textured((200, 160), seed))
    flags = ["--max-keypoints", "100", "--size", "200"]
    out = str(tmp_path / "own.safetensors")
    assert main(["calibrate", str(tmp_path / "p"), out, "--views", "2", "--dim", "32", *flags]) == 0
    assert "held-back views" in capsys.readouterr().out
    assert (
        main(["extract", str(tmp_path / "p"), str(tmp_path / "f.h5"), "--projection", out, *flags])
        == 0
    )
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store["0.png"].descriptors.shape[1] == 32


def test_calibrate_fits_rootsift_beside(tmp_path, capsys):
    (tmp_path / "p").mkdir()
    for seed in range(4):
        write_image(tmp_path / "p" / f"{seed}.png", textured((200, 160), seed))
    flags = [
        "--max-keypoints",
        "100",
        "--size",
        "200",
        "--descriptor",
        "dift+rootsift",
        "--reading",
        "dense",
    ]
    out = str(tmp_path / "both.safetensors")
    assert main(["calibrate", str(tmp_path / "p"), out, "--views", "2", "--dim", "40", *flags]) == 0
    assert (
        main(["extract", str(tmp_path / "p"), str(tmp_path / "f.h5"), "--projection", out, *flags])
        == 0
    )
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store["0.png"].descriptors.shape[1] == 40
    assert main(["calibrate", str(tmp_path / "p"), out, "--descriptor", "rootsift"]) == 1
    assert "expected --descriptor dift or dift+rootsift" in capsys.readouterr().err


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
def test_bad_photos_give_one_line_and_no_model(tmp_path, capfd, kind, message):
    code = main(
        [
            "reconstruct",
            str(bad_folder(tmp_path, kind)),
            str(tmp_path / "out"),
            "--descriptor",
            "rootsift",
            *FLAGS,
        ]
    )
    error = capfd.readouterr().err
    assert code == 1
    (line,) = [
        line
        for line in error.splitlines()
        if line.startswith("dift-geo: ") and "skipped" not in line
    ]
    assert message in line
    assert not (tmp_path / "out" / "sparse").exists()
    assert not (tmp_path / "out" / "summary.json").exists()


def test_skipped_images_show_in_summary_and_exit_code(photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / f"übung {path.name}").write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 half a picture")
    assert (
        main(
            ["reconstruct", str(folder), str(tmp_path / "out"), "--descriptor", "rootsift", *FLAGS]
        )
        == 3
    )
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["skipped"] == ["broken.jpg"]
    assert "broken.jpg" in capsys.readouterr().err


def test_stores_that_do_not_fit_are_told(tmp_path, capsys):
    (tmp_path / "f.h5").write_text("no hdf5")
    (tmp_path / "p.txt").write_text("a b\n")
    assert (
        main(["match", str(tmp_path / "f.h5"), str(tmp_path / "p.txt"), str(tmp_path / "m.h5")])
        == 1
    )
    assert "no readable HDF5" in capsys.readouterr().err
    assert (
        main(["match", str(tmp_path / "none.h5"), str(tmp_path / "p.txt"), str(tmp_path / "m.h5")])
        == 1
    )
    assert "no features at" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    for command in ("reconstruct", "extract", "pairs", "match", "homography", "calibrate"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert f"dift-geo {command} " in capsys.readouterr().out


def test_interrupted_command_goes_on_where_it_was(tmp_path):
    """Ctrl-C in a real process, then the same command again."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(5):
        write_image(folder / f"{seed}.png", textured((320, 240), seed))
    command = [
        sys.executable,
        "-m",
        "dift_geo.cli",
        "extract",
        str(folder),
        str(tmp_path / "f.h5"),
        *FLAGS,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and "1/5" not in (line := process.stderr.read(20)):
        assert line is not None
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    _, error = process.communicate(timeout=120)
    assert process.returncode in (0, 130), error
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert finished.returncode == 0, finished.stderr
    with FeatureStore(tmp_path / "f.h5") as store:
        assert len(store) == 5
    assert not (tmp_path / "f.h5.shards").exists()
