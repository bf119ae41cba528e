"""SuperPoint against transformers' own forward, on a small random model in the real format."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_models import superpoint_folder

from dift_geo.detectors import superpoint
from dift_geo.detectors.superpoint import SuperPoint
from dift_geo.extractor import build_extractor
from dift_geo.types import Keypoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return superpoint_folder(tmp_path_factory.mktemp("superpoint"))


def picture(h: int = 96, w: int = 128, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (h // 8, w // 8, 3), np.uint8)
    return cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)


def reference(folder: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """transformers' model, loaded and run its own way."""
    from transformers import SuperPointForKeypointDetection

    model = SuperPointForKeypointDetection.from_pretrained(folder, border_removal_distance=0).eval()
    gray = torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).float() / 255
    with torch.no_grad():
        out = model(gray.expand(1, 3, -1, -1))
    h, w = image.shape[:2]
    return {
        "xy": (out.keypoints[0] * torch.tensor([w, h])).numpy(),
        "scores": out.scores[0].numpy(),
        "descriptors": out.descriptors[0].numpy(),
    }


@pytest.mark.parametrize("size_hw", [(96, 128), (90, 117)])
def test_equals_transformers_own_forward(folder: Path, size_hw: tuple[int, int]) -> None:
    image = picture(*size_hw)
    detector, expected = SuperPoint(2048, folder, border=0), reference(folder, image)
    keypoints = detector.detect(image)
    order = np.lexsort((*expected["xy"].round().T, -expected["scores"]))
    assert len(keypoints) > 20
    np.testing.assert_allclose(keypoints.xy, expected["xy"][order], atol=1e-4)
    np.testing.assert_allclose(keypoints.scores, expected["scores"][order], rtol=1e-5)
    np.testing.assert_allclose(
        detector.describe(image, keypoints), expected["descriptors"][order], atol=1e-5
    )


def test_options_mean_what_they_say(folder: Path) -> None:
    image = picture()
    everything = SuperPoint(2048, folder, border=0).detect(image)
    few = SuperPoint(10, folder, border=0).detect(image)
    np.testing.assert_array_equal(few.xy, everything.xy[:10])
    assert (np.diff(everything.scores) <= 0).all()
    strict = SuperPoint(
        2048, folder, border=0, threshold=float(np.median(everything.scores))
    ).detect(image)
    np.testing.assert_array_equal(
        strict.xy, everything.xy[everything.scores > np.median(everything.scores)]
    )
    inside = SuperPoint(2048, folder, border=16).detect(image).xy
    assert len(inside)
    assert ((inside >= 16) & (inside < [128 - 16, 96 - 16])).all()
    distance = np.abs(everything.xy[:, None] - everything.xy[None]).max(-1) + 99 * np.eye(
        len(everything)
    )
    assert distance.min() > 4
    wider = SuperPoint(2048, folder, border=0, nms_radius=8).detect(image).xy
    distance = np.abs(wider[:, None] - wider[None]).max(-1) + 99 * np.eye(len(wider))
    assert distance.min() > 8


def test_empty_one_many(folder: Path) -> None:
    detector = SuperPoint(2048, folder)
    for image in (np.zeros((5, 300, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)):
        keypoints = detector.detect(image)
        assert len(keypoints) == 0
        assert keypoints.size_wh == (image.shape[1], image.shape[0])
        assert detector.describe(image, keypoints).shape == (0, 64)
    image = picture()
    one = Keypoints(np.array([[60, 40]], np.float32), np.ones(1, np.float32), (128, 96))
    assert detector.describe(image, one).shape == (1, 64)
    assert abs(np.linalg.norm(detector.describe(image, one)) - 1) < 1e-5


def test_remembering_the_last_image_changes_nothing(folder: Path) -> None:
    detector, image, other = SuperPoint(64, folder), picture(), picture(seed=1)
    keypoints = detector.detect(image)
    detector.detect(other)
    np.testing.assert_array_equal(
        detector.describe(image, keypoints), SuperPoint(64, folder).describe(image, keypoints)
    )


def test_coordinates_come_in_the_original_frame(folder: Path) -> None:
    image = picture(192, 256)
    extractor = build_extractor(
        detector=f"superpoint:{folder}", descriptor="superpoint", max_keypoints=50, size=128
    )
    features = extractor.extract(image, "a.png")
    seen = cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(
        features.keypoints.xy, (SuperPoint(50, folder).detect(seen).xy + 0.5) * 2 - 0.5, atol=1e-4
    )
    assert features.keypoints.size_wh == (256, 192)
    assert features.descriptors.shape == (50, 64)
    assert extractor.recipe()["detector"]["name"] == "superpoint"


def test_the_licence_is_stated_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superpoint, "_told", set())
    with caplog.at_level(logging.WARNING):
        SuperPoint(10, folder)
        SuperPoint(10, folder)
    assert caplog.text.count("noncommercial research") == 1


def test_errors_say_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match="magic-leap-community/superpoint is not in the hub cache and HF_HUB_OFFLINE",
    ):
        SuperPoint()
    with pytest.raises(FileNotFoundError, match="no folder at nowhere"):
        SuperPoint(10, "nowhere")
    with pytest.raises(ValueError, match="max_keypoints is 0, expected at least 1"):
        SuperPoint(0, folder)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ValueError, match="holds clip, expected SuperPoint"):
        SuperPoint(10, tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="no weights in"):
        SuperPoint(10, broken)
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short or corrupt"):
        SuperPoint(10, broken)
