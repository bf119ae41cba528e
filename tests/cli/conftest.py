"""What tests of commands share: photos of a box, and a command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from conftest import textured

from dift_geo.cli.main import main
from dift_geo.images import write_image


class Done(NamedTuple):
    """A finished command: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capfd) -> Callable[..., Done]:
    """Run a command line in this process: `command("extract", folder, "--size", 320)`."""

    def run(*words: object) -> Done:
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse refuses what one flag alone shows to be wrong
            code = int(stop.code or 0)
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def small() -> list[str]:
    """Flags that make extraction quick."""
    return ["--max-keypoints", "250", "--size", "320"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Five views of a box: two textured planes at right angles, by their exact homographies."""
    folder = tmp_path_factory.mktemp("photos")
    for index, angle in enumerate(np.linspace(-0.3, 0.3, 5)):
        write_image(folder / f"{index}.png", _view(index, angle))
    return folder


def _view(index: int, angle: float) -> np.ndarray:
    size_wh, focal = (320, 240), 300.0
    K = np.array([[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]])
    cos, sin = np.cos(angle), np.sin(angle)
    R = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    view = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    for seed, axis in ((0, [0.70, 0, 0.72]), (1, [-0.70, 0, 0.72])):
        texture = textured((400, 400), seed)
        # columns are the axes of the texture per pixel and its origin
        axes = [np.array(axis) * 0.0075, [0, 0.0075, 0], [0.0, -1.5, 0.0]]
        moved = R @ np.stack(axes, 1)
        H = K @ (moved + np.array([[0, 0, 0.0], [0, 0, 0.05 * index], [0, 0, 3.5]]))
        mask = cv2.warpPerspective(np.ones(texture.shape[:2], np.uint8), H, size_wh)
        view[mask > 0] = cv2.warpPerspective(texture, H, size_wh)[mask > 0]
    return view
