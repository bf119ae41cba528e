"""`dift-geo track` and `dift-geo transfer` on pictures whose truth is known."""

from __future__ import annotations

import json

import cv2
import numpy as np
from conftest import textured

from dift_geo.images import read_image, write_image
from dift_geo.video.masks import read_mask, write_mask


def test_points_of_a_shifted_picture(tmp_path, command):
    picture = textured((200, 160), 3)
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    write_image(a, picture[:128, :160])
    write_image(b, picture[32:, 32:192])
    words = ["transfer", a, b, "--out", tmp_path / "ab"]
    done = command(*words, "--points", "80,80", "110,64", "--prompt", "a photo of a cat")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "ab" / "transfer.json").read_text())
    apart = np.array(record["xy0"]) - 32 - record["xy1"]
    assert np.linalg.norm(apart, axis=1).max() < 12
    assert read_image(tmp_path / "ab" / "transfer.png").shape[1] >= 320
    for points, says in (("80", "expected X,Y in pixels"), ("160,3", "outside the first photo")):
        done = command(*words, "--points", points)
        assert done.code == 1
        assert says in done.err
    done = command(*words, "--points", "3,3", "--backend", "still")
    assert "looks at nothing" in done.err


def test_a_mask_through_a_video(tmp_path, command):
    frames, mask = tmp_path / "frames", np.zeros((96, 128), np.uint8)
    frames.mkdir()
    mask[30:60, 40:80] = 1
    for number in range(3):
        image = np.full((96, 128, 3), 90, np.uint8)
        cv2.circle(image, (60, 45), 15, (200, 40, 40), -1)
        write_image(frames / f"{number}.png", image)
    write_mask(tmp_path / "first.png", mask)
    words = ["track", frames, tmp_path / "first.png", tmp_path / "out", "--backend", "still"]
    done = command(*words)
    assert done.code == 0, done.err
    assert np.array_equal(read_mask(tmp_path / "out" / "masks" / "2.png"), mask)
    record = json.loads((tmp_path / "out" / "track.json").read_text())
    assert record["pixels_of_objects"] == {name: [1200] for name in "012"}
    overlay = read_image(tmp_path / "out" / "pictures" / "1.jpg")
    assert np.abs(overlay[5, 5].astype(int) - 90).max() < 5
    assert command(*words).code == 0  # its own results may be replaced
    (tmp_path / "out" / "track.json").unlink()
    assert "of no earlier run" in command(*words).err
    write_mask(tmp_path / "first.png", np.zeros((96, 128), np.uint8))
    assert "shows no object" in command(*words[:3], tmp_path / "x").err
    write_mask(tmp_path / "first.png", mask[:50])
    done = command(*words[:3], tmp_path / "y", "--backend", "still")
    assert "frame 0 is 128 x 96, expected 128 x 50 as the first mask" in done.err
