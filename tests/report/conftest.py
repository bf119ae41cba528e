"""A finished run to make pages of: a scene of known cameras, photos of noise."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from conftest import textured
from synthetic_sfm import FOCAL, SIZE_WH, make_scene

from dift_geo.images import write_image
from dift_geo.sfm import reconstruct_from_stores


class Run(NamedTuple):
    """OUT of a run, its photos and a text of its true cameras."""

    out: Path
    images: Path
    truth: Path


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    scene = make_scene(folder, views=4, points=120)
    for index, path in enumerate(sorted(scene.images.iterdir())):
        write_image(path, textured(SIZE_WH, index))
    out = folder / "out"
    reconstruct_from_stores(scene.images, scene.features, scene.matches, scene.pairs, out)
    truth = folder / "cameras.txt"
    with truth.open("w") as text:
        for name, pose in scene.poses.items():
            w, h = SIZE_WH
            numbers = [FOCAL, FOCAL, w / 2 - 0.5, h / 2 - 0.5, *np.ravel(pose)]
            text.write(f'"{name}" {w} {h} {" ".join(map(repr, map(float, numbers)))}\n')
    return Run(out, scene.images, truth)
