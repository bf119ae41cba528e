"""`dift-geo track` and `dift-geo transfer` on pictures whose truth is known."""

from __future__ import annotations

import json

import cv2
import numpy as np
from conftest import textured
from PIL import Image

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


def test_an_edit_of_a_shifted_picture(tmp_path, command):
    picture = textured((200, 160), 3)
    a, b, edit = (tmp_path / f"{name}.png" for name in ("a", "b", "edit"))
    write_image(a, picture[:128, :160])
    write_image(b, picture[32:, 32:192])
    drawn = np.zeros((128, 160, 4), np.uint8)
    drawn[60:100, 70:130] = (255, 0, 0, 255)
    Image.fromarray(drawn).save(edit)
    words = ["transfer", a, b, "--side", "160", "--out", tmp_path / "ab"]
    done = command(*words, "--edit", edit)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "ab" / "transfer.json").read_text())
    assert record["pixels"] == 1000
    assert record["doubtful"] is False
    carried = read_image(tmp_path / "ab" / "edited1.png")
    red = (carried == (255, 0, 0)).all(2)
    moved = np.zeros((128, 160), bool)
    moved[28:68, 38:98] = True
    assert (red & moved).sum() > 0.8 * (red | moved).sum()
    # of another picture than the first nothing that agrees can be found
    other = tmp_path / "other.png"
    write_image(other, textured((160, 128), 9))
    done = command("transfer", a, other, "--side", "160", "--out", tmp_path / "no", "--edit", edit)
    assert done.code in (1, 4)
    told = {1: ("no homography fits", "tears it apart"), 4: ("do not rely on it",)}[done.code]
    assert any(words in done.err for words in told)
    # the photo after the edit says the same as the edit alone
    write_image(edit, read_image(tmp_path / "ab" / "edited0.png"))
    assert command(*words, "--edit", edit).code == 0
    again = json.loads((tmp_path / "ab" / "transfer.json").read_text())
    assert again["H_1_from_0"] == record["H_1_from_0"]
    for flags, says in (
        ([], "one of --points and --edit is needed"),
        (["--edit", edit, "--points", "3,3"], "and not both"),
        (["--edit", edit, "--soft-argmax"], "carried by whole pixels"),
        (["--edit", tmp_path / "none.png"], "no edit at"),
        (["--edit", a], "the edit draws nothing"),
    ):
        done = command(*words, *flags)
        assert done.code == 1
        assert says in done.err
    write_image(edit, picture[:100, :160])
    assert "the edit is 160 x 100, expected 160 x 128" in command(*words, "--edit", edit).err


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


def test_flags_of_propagation(tmp_path, command, texture):
    """They reach what carries the labels, and the record says them."""
    frames, mask = tmp_path / "frames", np.zeros((96, 160), np.uint8)
    frames.mkdir()
    mask[30:60, 40:80] = 1
    for number in range(3):
        write_image(frames / f"{number}.png", texture((200, 96), 1)[:, 16 * number :][:, :160])
    write_mask(tmp_path / "first.png", mask)
    words = ["track", frames, tmp_path / "first.png"]
    asked = {"top_k": 1, "radius": 1, "frames": 0, "temperature": 0.001, "short_side": 96}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asked.items()]
    found = {}
    for name, own in (("near", flags), ("far", [*flags, "--radius=0"])):
        done = command(*words, tmp_path / name, *own)
        assert done.code == 0, done.err
        found[name] = read_mask(tmp_path / name / "masks" / "2.png") == 1
        recipe = json.loads((tmp_path / name / "track.json").read_text())["recipe"]
        expected = asked | {"radius": 1 if name == "near" else 0, "multiple": 32, "rule": "dino"}
        assert recipe["propagation"] == expected
    moved = np.roll(mask, -32, 1) == 1  # farther than a cell
    overlaps = {n: (own & moved).sum() / (own | moved).sum() for n, own in found.items()}
    assert overlaps["far"] > 0.8
    assert overlaps["near"] < 0.5
    for wrong, says in (
        (["--top-k", "0"], "argument --top-k: top_k is 0, expected at least 1"),
        (["--temperature", "0"], "argument --temperature: temperature is 0.0, expected at least"),
        (["--side", "64"], "unrecognized arguments: --side"),
    ):
        assert says in command(*words, tmp_path / "x", *wrong).err
    done = command(*words, tmp_path / "x", "--backend", "still", "--frames", "0")
    assert (done.code, "have nothing to act;" in done.err) == (1, True)
    done = command(*words, tmp_path / "x", "--short-side", "16")
    assert "short_side is 16, but a long side of 160 x 96" in done.err
    assert not (tmp_path / "x").exists()
