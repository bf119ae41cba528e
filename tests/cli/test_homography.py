"""`dift-geo homography`."""

from __future__ import annotations

import json

import cv2
import numpy as np
from conftest import textured

from dift_geo.images import write_image


def test_homography(tmp_path, command, small) -> None:
    picture = textured((320, 240))
    H = np.array([[0.9, -0.2, 40], [0.15, 0.95, -10], [1e-4, -2e-4, 1]])
    a, b, black = (tmp_path / name for name in ("a.png", "b.png", "black.png"))
    write_image(a, picture)
    write_image(b, cv2.warpPerspective(picture, H, (320, 240)))
    done = command("homography", a, b, "--out", tmp_path / "ab", "--device", "auto", *small)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "ab" / "homography.json").read_text())
    corners = np.array([[[0.0, 0], [319, 0], [319, 239], [0, 239]]])
    found = cv2.perspectiveTransform(corners, np.array(record["H_1_from_0"]))
    assert np.linalg.norm(found - cv2.perspectiveTransform(corners, H), axis=2).max() < 2
    assert record["inliers"] <= record["matches"] <= min(record["keypoints"])
    assert f"matches  {record['matches']}\ninliers  {record['inliers']}\n" in done.out
    assert (tmp_path / "ab" / "matches.png").is_file()

    write_image(black, np.zeros((240, 320, 3), np.uint8))
    done = command("homography", a, black, "--out", tmp_path / "x", *small)
    assert done.code == 1
    assert "no homography fits the 0 matches" in done.err
    record = json.loads((tmp_path / "x" / "homography.json").read_text())
    assert record["H_1_from_0"] is None
    assert record["inliers"] == 0


def test_an_unreadable_photo_is_one_line(tmp_path, command) -> None:
    done = command("homography", tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "ab")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "a.png" in line
