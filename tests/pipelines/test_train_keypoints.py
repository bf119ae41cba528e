"""The detector's training program on pictures made here, and its losses against cases by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dift_geo.detectors.tiny import TINY_KEYPOINTS, TinyKeypoints
from dift_geo.images import write_image


@pytest.fixture(scope="module")
def program(pipeline_module):
    return pipeline_module("train_keypoints")


@pytest.fixture(scope="module")
def losses(pipeline_module):
    return pipeline_module("keypoint_losses")


@pytest.fixture(scope="module")
def views(pipeline_module):
    return pipeline_module("keypoint_views")


@pytest.fixture
def work(texture, tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    for index in range(2):
        write_image(tmp_path / "packages" / f"{index}.png", texture((560, 440), index))
    (tmp_path / "images.txt").write_text("0.png\n1.png\n")
    return tmp_path


def test_trains_resumes_labels_and_exports(
    program, work: Path, picture: np.ndarray, capsys
) -> None:
    run = ["train", str(work), "--batch", "1", "--minutes"]
    program.main([*run, "0.0001"])
    first = torch.load(work / "keypoints.pt", weights_only=True)
    program.main(["label", str(work), "--minutes", "0"])
    program.main([*run, str(first["seconds"] / 60 + 0.0001)])
    second = torch.load(work / "keypoints.pt", weights_only=True)
    assert "resumed at step 1" in capsys.readouterr().out
    assert (first["step"], second["step"]) == (1, 2)
    assert not torch.equal(first["network"]["head.weight"], second["network"]["head.weight"])
    program.main(["export", str(work), str(work / "out")])
    network = program.for_training()
    network.load_state_dict(second["network"])
    x = torch.randn(1, 1, 32, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.eval()(x)
        exported = TinyKeypoints(10, work / "out" / "keypoints.safetensors").network(x)
    torch.testing.assert_close(exported, expected, atol=1e-4, rtol=1e-4)


def test_probe_puts_the_detector_beside_sift(program, work: Path, capsys) -> None:
    rows = program.probe(work, TINY_KEYPOINTS.parent, 0)
    assert json.loads(capsys.readouterr().out) == rows
    for name in ("sift", "tiny"):
        assert rows[name]["mma@3px"] > 0.1
        assert rows[name]["correct"] > 10


def bumps(xy: np.ndarray, side: int = 96) -> torch.Tensor:
    """(1, 4, S, S) maps with a peak at each place, and nothing said of ranks and angles."""
    y, x = np.mgrid[:side, :side]
    distance = np.hypot(x[None] - xy[:, :1, None], y[None] - xy[:, 1:, None]).min(0)
    maps = np.zeros((1, 4, side, side), np.float32)
    maps[0, 0], maps[0, 2] = np.maximum(5 - 2 * distance, -4), 1
    return torch.from_numpy(maps)


PLACES = np.array([[20.0, 30.0], [50.0, 22.0], [70.0, 64.0], [30.0, 70.0]])


def test_equal_maps_lose_nothing(losses) -> None:
    maps = bumps(PLACES)
    same = losses.losses_of(maps, maps, torch.eye(3)[None])
    assert float(same.alike) == pytest.approx(0, abs=1e-5)
    assert float(same.angle) == pytest.approx(0, abs=1e-5)
    assert float(same.exact) == pytest.approx(0, abs=1e-3)
    assert same.found == 1
    assert float(same.ranked) == pytest.approx(np.log(2), abs=1e-5)  # logit 0 says half
    assert float(same.total) > 0


def test_peaks_that_moved_are_told_by_the_homography(losses) -> None:
    H = torch.tensor([[1.0, 0, 6], [0, 1, -4], [0, 0, 1]])
    first, second = bumps(PLACES), bumps(PLACES + np.array([6, -4]))
    right = losses.losses_of(first, second, H[None])
    wrong = losses.losses_of(first, second, torch.eye(3)[None])
    assert right.found == 1
    assert wrong.found == 0
    assert float(right.alike) < 0.05 < float(wrong.alike)
    off = losses.losses_of(first, bumps(PLACES + np.array([7.5, -4])), H[None])
    assert float(off.exact) == pytest.approx(1.5, abs=0.1)


def test_an_angle_has_to_turn_with_the_picture(losses) -> None:
    quarter = torch.tensor([[0.0, 1, 0], [-1, 0, 95], [0, 0, 1]])  # anticlockwise
    maps = bumps(np.array([[47.5, 47.5]]))
    turned = maps.clone()
    turned[:, 2], turned[:, 3] = 0, -1  # to the right becomes upwards
    assert float(losses.losses_of(maps, turned, quarter[None]).angle) == pytest.approx(0, abs=1e-5)
    assert float(losses.losses_of(maps, maps, quarter[None]).angle) == pytest.approx(1, abs=1e-5)
    assert float(losses.losses_of(maps, -turned, quarter[None]).angle) == pytest.approx(2, abs=1e-5)


def test_flat_maps_lose_for_having_no_peak(losses) -> None:
    flat = torch.zeros(1, 4, 96, 96)
    lost = losses.losses_of(flat, flat, torch.eye(3)[None])
    assert float(lost.peaked) == pytest.approx(1)
    assert float(lost.peaked) > float(
        losses.losses_of(bumps(PLACES), bumps(PLACES), torch.eye(3)[None]).peaked
    )
    assert float(lost.exact) == 0


def test_views_are_where_their_homography_says(views, work: Path, monkeypatch) -> None:
    pictures = views.Pictures(work)
    random = np.random.default_rng(3)
    crop = pictures.crop((224, 224), random, enlarged=1.6, smallest=0.35)
    assert crop.shape == (224, 224, 3)
    monkeypatch.setattr(views, "synthetic_view", lambda image, _: (image, np.eye(3)))
    for turns in range(4):
        view, H = views.turned_view(crop, random, turns)
        moved = cv2.warpPerspective(crop, H, (224, 224), flags=cv2.INTER_NEAREST)
        np.testing.assert_array_equal(moved, view)


def test_labels_are_read_where_the_keypoints_were_found(views) -> None:
    """A picture whose luma names the place: a crop's pixel tells where it came from."""
    xy = np.array([[100.0, 60.0], [150.0, 90.0]], np.float32)
    luma = np.zeros((300, 320), np.float32)
    for x, y in xy.astype(int):
        luma[y - 1 : y + 2, x - 1 : x + 2] = 1
    one = views.Labelled(luma, xy, np.array([0, 1]), np.array([True, False]))
    random = np.random.default_rng(0)
    crops, places, targets = views.labelled_crops([one], 8, random)
    assert crops.shape == (8, 1, views.SIDE, views.SIDE)
    seen = set()
    for crop, place, target in zip(crops, places, targets):
        assert len(place) == len(target) == 1
        x, y = place[0].tolist()
        around = crop[0, y - 2 : y + 3, x - 2 : x + 3]
        assert float(around.max()) == pytest.approx(
            float(crop[0, y - 8 : y + 9, x - 8 : x + 9].max())
        )
        assert float(around.max()) > 1
        seen.add(float(target[0]))
    assert seen == {0.0, 1.0}
