"""Masks and videos: files that come back, sizes of frames, labels that follow what moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dift_geo.backends.tasks import Propagation
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import write_image
from dift_geo.video.frames import open_frames
from dift_geo.video.masks import read_mask, write_mask
from dift_geo.video.track import Tracker, mask_of, one_hot, shown_size


def blocks():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 10:30], mask[22:36, 35:50] = 1, 2
    return mask


def test_masks_come_back(tmp_path):
    write_mask(tmp_path / "m.png", blocks())
    assert np.array_equal(read_mask(tmp_path / "m.png"), blocks())
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        # of PASCAL VOC: background, maroon, green, and void
        assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        assert image.getpalette()[-3:] == [224, 224, 192]


def test_masks_of_other_kinds(tmp_path):
    colours = np.array([[0, 0, 0], [10, 0, 0], [0, 255, 0]], np.uint8)
    # numbered by colour: red, green, blue from the left
    Image.fromarray(colours[blocks()]).save(tmp_path / "rgb.png")
    assert np.array_equal(read_mask(tmp_path / "rgb.png"), np.array([0, 2, 1], np.uint8)[blocks()])
    Image.fromarray((blocks() > 0).astype(np.uint8) * 255).save(tmp_path / "white.png")
    assert np.array_equal(read_mask(tmp_path / "white.png"), blocks() > 0)
    void = Image.fromarray(np.where(blocks() == 2, 255, blocks()).astype(np.uint8))
    void.putpalette(bytes(range(256)) * 3)
    void.save(tmp_path / "void.png")
    assert np.array_equal(read_mask(tmp_path / "void.png"), blocks() * (blocks() == 1))
    Image.fromarray(np.arange(240, dtype=np.uint8).reshape(12, 20)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="239 colours, expected a palette PNG"):
        read_mask(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="no mask that can be read"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(MissingFileError):
        read_mask(tmp_path / "nothing.png")


def test_sizes_are_those_of_the_released_script():
    settings = Propagation()
    assert shown_size((854, 480), settings) == (832, 480)
    assert shown_size((480, 854), settings) == (480, 832)
    assert shown_size((1920, 1080), settings) == (832, 480)
    with pytest.raises(InputError, match="temperature is 0"):
        Propagation(temperature=0)
    with pytest.raises(InputError, match="top_k is 0, expected at least 1"):
        Propagation(top_k=0)


def test_labels_follow_what_moves():
    mask, generator = blocks(), torch.Generator().manual_seed(0)
    scene = torch.randn((16, 20, 40), generator=generator)  # a cell is 3 pixels
    settings = Propagation(temperature=0.05, top_k=1, frames=2, radius=3)
    tracker = Tracker(scene[:, :, :20], one_hot(mask, (20, 20)), settings)
    labels = None
    for step in (1, 2, 3):
        labels = tracker.step(scene[:, :, step : step + 20])
    assert labels is not None
    found = mask_of(labels, (60, 40), (60, 40))
    moved = np.roll(mask, -9, axis=1)
    inner = np.s_[:, :42]  # what came in at the right has no label
    assert (found[inner] == moved[inner]).mean() > 0.9
    assert set(np.unique(found)) == {0, 1, 2}


def test_a_mask_of_one_label_is_that_label():
    assert not mask_of(torch.ones((1, 4, 5)), (40, 32), (50, 40)).any()
    labels = torch.zeros((2, 4, 5))
    labels[1, 1:3, 1:3], labels[0] = 0.6, 0.5
    found = mask_of(labels, (40, 32), (20, 16))
    assert found.shape == (16, 20)
    assert found[8, 8] == 1


def test_frames_of_a_folder_and_of_a_file(tmp_path, picture):
    for number in (2, 10, 1):
        (tmp_path / "frames").mkdir(exist_ok=True)
        write_image(tmp_path / "frames" / f"{number:03d}.png", picture + np.uint8(number))
    frames = list(open_frames(tmp_path / "frames"))
    assert [name for name, _ in frames] == ["001", "002", "010"]
    assert np.array_equal(frames[1][1], picture + np.uint8(2))
    file = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 5, (320, 240))
    for _ in range(3):
        writer.write(picture[:, :, ::-1])
    writer.release()
    films = list(open_frames(file))
    assert [name for name, _ in films] == ["00000", "00001", "00002"]
    assert np.abs(films[2][1].astype(int) - picture).mean() < 20
    (tmp_path / "film.txt").write_text("no film")
    with pytest.raises(InputError, match="no video that OpenCV can read"):
        list(open_frames(tmp_path / "film.txt"))
    with pytest.raises(MissingFileError):
        open_frames(tmp_path / "nowhere")
