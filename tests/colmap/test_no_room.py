"""A disk that is full while COLMAP writes: one line, nothing half done, and the process lives."""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from posed_models import model_of
from synthetic_sfm import look_at

from dift_geo.colmap import opened as opened_file
from dift_geo.colmap.database import build_database, verify_database
from dift_geo.colmap.mapping import write_models
from dift_geo.colmap.opened import opened
from dift_geo.errors import WriteError
from dift_geo.images import write_image

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "ab":
        write_image(folder / f"{name}.png", np.full((48, 64, 3), 90, np.uint8))
    return folder


def line_of(work: Callable[[], object], limit: int) -> str:
    """What is raised by a process whose files may have so many bytes."""
    resource = pytest.importorskip("resource")
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            work()
            said = "nothing"
        except WriteError as error:
            said = str(error)
        except BaseException as error:
            said = f"unexpected {error!r}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="forks and limits as Linux does")
@pytest.mark.parametrize("limit", [0, 4096, 40_000, 70_000])
def test_a_database_that_cannot_grow_is_one_line(tmp_path: Path, limit: int) -> None:
    def write(path: Path) -> None:
        with opened(path) as database:
            camera = database.write_camera(
                pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 64, 48)
            )
            database.write_image(pycolmap.Image(name="a", camera_id=camera))
            database.write_keypoints(1, np.zeros((9000, 2), np.float32))

    small, large = tmp_path / "small.db", tmp_path / "large.db"
    assert f"{small} cannot be written" in line_of(lambda: write(small), limit)
    assert line_of(lambda: write(large), 1 << 26) == "nothing"


def test_other_errors_of_colmap_are_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of mine"), opened(tmp_path / "x.db"):
        raise RuntimeError("of mine")


@pytest.mark.parametrize("step", ["build", "verify"])
def test_colmap_is_not_asked_where_it_would_abort(
    photos: Path, tmp_path: Path, monkeypatch, step: str
) -> None:
    path, names = tmp_path / "x.db", ["a.png", "b.png"]
    if step == "verify":
        ids = build_database(path, photos, names)
        with opened(path) as database:
            for image_id in ids.values():
                database.write_keypoints(image_id, np.zeros((20, 2), np.float32))
            database.write_matches(*ids.values(), np.zeros((20, 2), np.uint32))
    monkeypatch.setattr(opened_file.shutil, "disk_usage", lambda _: Usage(1, 1, 9000))
    works = {
        "build": lambda: build_database(path, photos, names),
        "verify": lambda: verify_database(path, [("a.png", "b.png")]),
    }
    with pytest.raises(WriteError, match=r"has 0\.0 MB left, expected at least 0\.[5-9]"):
        works[step]()
    assert path.exists() == (step == "verify")


@pytest.mark.parametrize("keep", [0, 0.1, 0.99])
@pytest.mark.parametrize("part", ["points3D", "images"])
def test_half_a_model_is_told(tmp_path: Path, monkeypatch, part: str, keep: float) -> None:
    """COLMAP writes through streams whose failure it does not ask for."""
    xyz = np.random.default_rng(0).uniform(-1, 1, (30, 3))
    poses = {
        name: look_at(np.array([x, 0, -7.0]), np.zeros(3)) for name, x in (("a", -1), ("b", 1))
    }
    model = model_of(poses, xyz)
    write_models(tmp_path / "whole", [model])
    write = pycolmap.Reconstruction.write

    def short(self: pycolmap.Reconstruction, folder: str) -> None:
        write(self, folder)
        file = Path(folder) / f"{part}.bin"
        file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])

    monkeypatch.setattr(pycolmap.Reconstruction, "write", short)
    with pytest.raises(WriteError, match=f"{part}.bin holds a part of the model only"):
        write_models(tmp_path / "part", [model])
