"""Backbones by the command line alone, with small random models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import textured
from small_models import superpoint_folder

from dift_geo.backends.config import DiftConfig
from dift_geo.cli.flags import NOT_TRUSTED
from dift_geo.cli.main import main
from dift_geo.dift.describer import Dift
from dift_geo.extractor import build_extractor
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore


def render_corner(folder: Path, views: int = 4) -> None:
    """Two textured walls that meet in a corner, seen by a camera that moves sideways and up."""
    folder.mkdir()
    K = np.array([[400.0, 0, 191.5], [0, 400, 127.5], [0, 0, 1]])
    walls = [  # origin and two sides, in metres; the camera looks along +z, y down
        (np.array([-5.0, -3, 6]), np.array([5.0, 0, 3]), np.array([0.0, 6, 0])),
        (np.array([0.0, -3, 9]), np.array([5.0, 0, -3]), np.array([0.0, 6, 0])),
    ]
    for view in range(views):
        centre = np.array([0.7 * view - 1, -0.3 * view + 0.5, 0])
        canvas = np.zeros((256, 384, 3), np.uint8)
        for seed, (origin, side0, side1) in enumerate(walls):
            surface = textured((320, 320), seed)
            image_from_texture = K @ np.stack([side0 / 320, side1 / 320, origin - centre], 1)
            seen = cv2.warpPerspective(surface, image_from_texture, (384, 256))
            mask = (
                cv2.warpPerspective(
                    np.full((320, 320), 255, np.uint8), image_from_texture, (384, 256)
                )
                > 127
            )
            canvas[mask] = seen[mask]
        write_image(folder / f"{view}.png", canvas)


@pytest.mark.parametrize("detector", ["sift", "superpoint"])
def test_reconstruct_runs_the_whole_road(
    folders: dict[str, Path], tmp_path: Path, detector: str
) -> None:
    """By the command line alone, with small random models.

    Random Stable Diffusion is run on every image but tells little apart, so RootSIFT stands beside
    it; random SuperPoint does well enough alone.
    """
    render_corner(tmp_path / "images")
    (tmp_path / "known.txt").write_text("* SIMPLE_PINHOLE 400 192 128\n")
    flags = ["--max-keypoints", "1600", "--intrinsics", str(tmp_path / "known.txt")]
    if detector == "sift":
        flags += [
            "--backend",
            str(folders["sd2"]),
            "--descriptor",
            "dift+rootsift",
            "--max-batch",
            "1",
        ]
    else:
        flags += [
            "--detector",
            f"superpoint:{superpoint_folder(tmp_path / 'superpoint')}",
            "--descriptor",
            "superpoint",
        ]
    code = main(["reconstruct", str(tmp_path / "images"), str(tmp_path / "out"), *flags])
    assert code in (0, NOT_TRUSTED)  # the features are random
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["registered"] == 4
    assert summary["points"] > 100


def test_stable_diffusion_at_superpoint_keypoints(folders: dict[str, Path], tmp_path: Path) -> None:
    """The paper's pair of parts, through the store."""
    write_image(tmp_path / "a.png", textured((128, 96)))
    flags = [
        "--backend",
        str(folders["sd2"]),
        "--detector",
        f"superpoint:{superpoint_folder(tmp_path / 'superpoint')}",
    ]
    assert (
        main(["extract", str(tmp_path), str(tmp_path / "f.h5"), *flags, "--max-keypoints", "50"])
        == 0
    )
    features = FeatureStore(tmp_path / "f.h5")["a.png"]
    assert features.descriptors.shape == (50, 32)
    assert features.keypoints.scale is None


def test_paper_mode_is_one_flag(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = build_extractor(backend=str(folders["sd2"]), mode="paper", seed=3, max_batch=2)
    assert extractor.size is None
    dift = extractor.describer
    assert isinstance(dift, Dift)
    paper = DiftConfig.paper("sd")
    assert paper.noise is not None
    assert dift.config == replace(paper, noise=replace(paper.noise, seed=3), max_batch=2)
    # what differs from other settings is in the recipe, field by field
    recipe = dift.recipe()["dift"]["config"]
    assert recipe["reading"]["published_grid"] is True
    assert recipe["noise"] == {"ensemble": 8, "posterior": True, "seed": 3}
    write_image(tmp_path / "a.png", textured((64, 64)))
    assert main(["extract", str(tmp_path), str(tmp_path / "f.h5"), "--mode", "paper"]) == 1
    assert "mode 'paper' with backend 'tiny'" in capsys.readouterr().err


def test_one_orientation_where_it_does_not_enter(folders: dict[str, Path]) -> None:
    """Dense descriptors at one place are equal whatever the angle: two of them could never be told
    apart.
    """
    assert build_extractor(backend=str(folders["sd2"])).detector.recipe()["max_orientations"] == 1
    assert build_extractor(backend="tiny").detector.recipe()["max_orientations"] == 2
