"""Reading a COLMAP database with SQL: what pycolmap reads, of any version, and nothing changed."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dift_geo.cli.main import main
from dift_geo.detectors.colmap import ColmapKeypoints, open_database
from dift_geo.detectors.colmap_database import read_database

pycolmap = pytest.importorskip("pycolmap")
BYTES = np.arange(640, dtype=np.uint8).reshape(5, 128)
FLOATS = np.arange(160, dtype=np.float32).reshape(5, 32) - 80


def write_pair(path: Path, kind: str = "SIFT") -> Path:
    """Two images with keypoints, descriptors and matches, as pycolmap writes them."""
    random = np.random.default_rng(0)
    data = FLOATS.view(np.uint8) if kind != "SIFT" else BYTES
    described = pycolmap.FeatureDescriptors(
        data=data, type=getattr(pycolmap.FeatureExtractorType, kind)
    )
    with pycolmap.Database.open(path) as database:
        camera = database.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        ids = [
            database.write_image(pycolmap.Image(name=f"{i}.png", camera_id=camera)) for i in (0, 1)
        ]
        for image_id in ids:
            database.write_keypoints(image_id, random.uniform(0, 40, (5, 4)).astype(np.float32))
            database.write_descriptors(image_id, described)
        database.write_matches(*ids, np.array([[0, 1], [4, 2]], np.uint32))
    return path


def state(path: Path) -> dict[str, bytes]:
    """The bytes of a database and of all that lies beside it."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_says_what_pycolmap_says(tmp_path: Path) -> None:
    path = write_pair(tmp_path / "a.db")
    with read_database(path) as ours:
        assert ours.image_ids() == {"0.png": 1, "1.png": 2}
        assert ours.size_wh(2) == (64, 48)
        assert ours.keypoints(3) is None
        assert ours.descriptors(3) is None
        assert ours.pairs() == [(1, 2)]
        found = ours.keypoints(2), ours.descriptors(2), ours.matches(1, 2)
    with pycolmap.Database.open(path) as theirs:
        np.testing.assert_array_equal(found[0], theirs.read_keypoints(2))
        np.testing.assert_array_equal(found[1], theirs.read_descriptors(2).data)
        np.testing.assert_array_equal(found[2], theirs.read_matches(1, 2))


def test_descriptors_of_networks_are_floats(tmp_path: Path) -> None:
    with read_database(write_pair(tmp_path / "a.db", "ALIKED_N16ROT")) as database:
        found = database.descriptors(1)
    np.testing.assert_array_equal(found, FLOATS)


def make_older(path: Path) -> None:
    """Without what later versions of COLMAP added."""
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("rigs", "rig_sensors", "frames", "frame_data", "pose_priors"):
            database.execute(f"DROP TABLE {table}")
        database.execute("ALTER TABLE descriptors DROP COLUMN type")
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA user_version=3900")


@pytest.mark.parametrize("older", [False, True])
def test_reading_changes_nothing(tmp_path: Path, older: bool) -> None:
    (tmp_path / "db").mkdir()
    path = write_pair(tmp_path / "db" / "a.db")
    if older:
        make_older(path)
    before = state(path)
    detector = ColmapKeypoints(path)
    detector.recipe()
    assert len(detector.keypoints_of("0.png")) == 5
    stores = [str(tmp_path / "f.h5"), "--matches", str(tmp_path / "m.h5")]
    assert main(["import", str(path), *stores]) == 0
    assert state(path) == before


def test_a_read_only_place_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    path = write_pair(tmp_path / "db" / "a.db")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert len(ColmapKeypoints(path).keypoints_of("0.png")) == 5
        assert os.listdir(path.parent) == ["a.db"]
    finally:
        path.parent.chmod(0o755)


def test_what_another_program_has_written_so_far_is_seen(tmp_path: Path) -> None:
    path = write_pair(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE images SET name = 'x.png' WHERE image_id = 1")
        assert sorted(ColmapKeypoints(path)._ids) == ["0.png", "1.png"]
        other.commit()
        assert sorted(ColmapKeypoints(path)._ids) == ["1.png", "x.png"]


def test_a_locked_a_foreign_and_a_damaged_one_say_so(tmp_path: Path, monkeypatch) -> None:
    path = write_pair(tmp_path / "a.db")
    make_older(path)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0}))
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RuntimeError, match=r"a.db is in use by another program; close it"):
            ColmapKeypoints(path)
    with closing(connect(tmp_path / "photos.db")) as other, other:
        other.execute("CREATE TABLE images (image_id, name, camera_id)")
    with pytest.raises(ValueError, match=r"photos.db is no COLMAP database: it has no table cam"):
        ColmapKeypoints(tmp_path / "photos.db")
    with closing(connect(path)) as other, other:
        other.execute("UPDATE keypoints SET data = x'00' WHERE image_id = 1")
    with pytest.raises(ValueError, match=r"keypoints of image_id 1 are 1 bytes, expected 5 rows"):
        ColmapKeypoints(path).keypoints_of("0.png")
    (tmp_path / "cut.db").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RuntimeError, match=r"cut.db cannot be read \(database disk image is malf"):
        ColmapKeypoints(tmp_path / "cut.db")
    (tmp_path / "text.db").write_text("words " * 10)
    with pytest.raises(ValueError, match="is no COLMAP database; expected an SQLite file"):
        ColmapKeypoints(tmp_path / "text.db")


def test_keypoints_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = write_pair(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as database, database:
        rows = np.full((1, 2), np.nan, np.float32).tobytes()
        database.execute("UPDATE keypoints SET rows = 1, cols = 2, data = ?", [rows])
    with pytest.raises(ValueError, match="keypoints of image 1 hold NaN or infinity"):
        ColmapKeypoints(path).keypoints_of("0.png")


ENDLESS = (
    "DROP TABLE images; CREATE VIEW images AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL "
    "SELECT n + 1 FROM t) SELECT n AS image_id, 'x' || n AS name, 1 AS camera_id FROM t"
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE cameras SET width = 1e30", "camera of image 1 has 1e+30 x 48 pixels, expected"),
        ("UPDATE cameras SET height = 0", "camera of image 1 has 64 x 0 pixels, expected"),
        ("UPDATE cameras SET width = 1 << 62", "camera of image 1 has 4611686018427387904 x 48"),
        ("UPDATE images SET name = x'ff00' WHERE image_id = 2", "image 2 is called b'\\\\xff"),
        ("UPDATE keypoints SET rows = 'many'", "keypoints of image_id 1 have 'many' rows of 4"),
        ("UPDATE keypoints SET rows = -5, cols = -4", "image_id 1 have -5 rows of -4 numbers"),
        ("UPDATE keypoints SET rows = 4, cols = 5", "image 1 have 5 numbers each, expected 2, 4"),
        ("UPDATE keypoints SET data = 'text'", "keypoints of image_id 1 are str, expected bytes"),
        ("UPDATE matches SET rows = 4, cols = 1", "images 1 and 2 are of 1 keypoints each"),
        ("UPDATE matches SET pair_id = -7", "matches of pair -7 have 2 rows, expected the number"),
        (ENDLESS, "is no COLMAP database: it has no table images"),
    ],
)
def test_numbers_that_cannot_be_are_one_line(
    tmp_path: Path, change: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pair(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"PRAGMA foreign_keys = OFF; {change}")
    stores = [str(tmp_path / "f.h5"), "--matches", str(tmp_path / "m.h5")]
    assert main(["import", str(path), *stores]) == 1
    line = capsys.readouterr().err
    assert said.replace("\\\\", "\\") in line
    assert line.count("\n") == 1


def test_a_photo_of_another_shape_is_not_the_one_of_the_database(tmp_path: Path) -> None:
    detector = ColmapKeypoints(write_pair(tmp_path / "a.db"))
    assert len(detector.detect(np.zeros((23, 31, 3), np.uint8), "0.png")) == 5  # rounded
    with pytest.raises(ValueError, match=r"0.png is 48 x 64 pixels, but .* has a camera of 64 x"):
        detector.detect(np.zeros((64, 48, 3), np.uint8), "0.png")


def test_scripts_of_0_1_get_pycolmaps_database(tmp_path: Path) -> None:
    with open_database(write_pair(tmp_path / "a.db")) as database:
        assert database.num_images() == 2
    with (
        pytest.raises(FileNotFoundError, match="no COLMAP database at"),
        open_database(tmp_path / "none.db"),
    ):
        pass
