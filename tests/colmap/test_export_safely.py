"""Exporting into a database that somebody has: all of it or nothing, and all else stays."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from dift_geo.cli.main import main
from dift_geo.colmap import exchange
from dift_geo.colmap.exchange import export_database
from dift_geo.errors import InputError
from dift_geo.images import write_image
from dift_geo.pairs.lists import exhaustive_pairs, write_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches

NAMES = ["a 1.png", "b/2.png", "c.png"]
PAIRS = exhaustive_pairs(NAMES)
XY = np.random.default_rng(0).uniform(0, 40, (20, 2)).astype(np.float32)


def store_features(path: Path, count: int = 20) -> Path:
    with FeatureStore(path, {}) as store:
        for name in NAMES:
            keypoints = Keypoints(XY[:count], np.ones(count), (64, 48))
            store[name] = Features(keypoints, np.zeros((count, 8)))
        store.merge()
    return path


def store_matches(path: Path, pairs, rows=((0, 1), (5, 6))) -> Path:
    with MatchStore(path, {}) as store:
        for pair in pairs:
            store.put(pair, Matches(np.array(rows), np.ones(len(rows))), 20)
        store.merge()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """With matches of COLMAP's, all of them verified."""
    path = tmp_path / "db" / "project.db"
    path.parent.mkdir()
    old = np.array([[i, i] for i in range(20)], np.uint32)
    with pycolmap.Database.open(path) as made:
        camera = made.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        ids = [made.write_image(pycolmap.Image(name=name, camera_id=camera)) for name in NAMES]
        for image_id in ids:
            made.write_keypoints(image_id, XY + 0.5)
        for id0, id1 in exhaustive_pairs(ids):
            made.write_matches(id0, id1, old)
            config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry = pycolmap.TwoViewGeometry(config=config, inlier_matches=old)
            made.write_two_view_geometry(id0, id1, geometry)
    return path


def rows(path: Path) -> dict[str, list]:
    with closing(sqlite3.connect(path)) as connection:
        names = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {n: connection.execute(f"SELECT * FROM {n} ORDER BY 1").fetchall() for n in names}


def beside(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def export(tmp_path: Path, database: Path, pairs, **options) -> None:
    features, matches = tmp_path / "f.h5", tmp_path / "m.h5"
    export_database(database, "", features, pairs, matches, **options)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("one pair too many", "is not in .*m.h5, in neither order"),
        ("an index beyond", "use keypoint 20 of .* which has 20"),
        ("other keypoints", "has 20 other keypoints for 'a 1.png' than the 19 features"),
        ("a stop", "stopped"),
    ],
)
def test_an_export_that_fails_changes_nothing(
    database: Path, tmp_path: Path, monkeypatch, fault: str, message: str
) -> None:
    store_features(tmp_path / "f.h5", 19 if fault == "other keypoints" else 20)
    wrong = ((0, 20),) if fault == "an index beyond" else ((0, 1),)
    store_matches(tmp_path / "m.h5", PAIRS[:2] if fault == "one pair too many" else PAIRS, wrong)
    if fault == "a stop":
        replace = exchange.replace_pairs

        def stop(*arguments) -> None:
            replace(*arguments)
            raise RuntimeError("stopped")

        monkeypatch.setattr(exchange, "replace_pairs", stop)
    before = beside(database)
    with pytest.raises((ValueError, KeyError, RuntimeError), match=message):
        export(tmp_path, database, PAIRS)
    assert beside(database) == before


def test_the_pairs_named_are_replaced_and_all_else_stays(database: Path, tmp_path: Path) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    database.chmod(0o640)
    before, inode = rows(database), database.stat().st_ino
    export(tmp_path, database, PAIRS[:1])
    after = rows(database)
    assert [table for table in before if before[table] != after[table]] == [
        "matches",
        "two_view_geometries",
    ]
    assert len(after["matches"]) == 3
    assert after["matches"][1:] == before["matches"][1:]
    assert after["two_view_geometries"] == before["two_view_geometries"][1:]
    with pycolmap.Database.open(database) as opened:
        assert opened.read_matches(1, 2).tolist() == [[0, 1], [5, 6]]
    assert database.stat().st_ino == inode
    assert database.stat().st_mode & 0o777 == 0o640
    export(tmp_path, database, [PAIRS[0][::-1]], verified=True)
    with pycolmap.Database.open(database) as opened:
        geometry = opened.read_two_view_geometry(1, 2)
        assert geometry.inlier_matches.tolist() == [[0, 1], [5, 6]]
        assert geometry.config == pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED


def test_an_older_database_stays_one(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as older, older:
        for table in ("rigs", "rig_sensors", "frames", "frame_data", "pose_priors"):
            older.execute(f"DROP TABLE {table}")
        older.execute("ALTER TABLE two_view_geometries RENAME TO inlier_matches")
        for column in ("F", "E", "H", "qvec", "tvec", "camera1", "camera2"):
            older.execute(f"ALTER TABLE inlier_matches DROP COLUMN {column}")
        older.execute("PRAGMA user_version=3100")
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    tables = rows(database).keys()
    export(tmp_path, database, PAIRS[1:], verified=True)
    after = rows(database)
    assert after.keys() == tables
    assert [row[1] for row in after["inlier_matches"]] == [20, 2, 2]
    with closing(sqlite3.connect(database)) as older:
        assert older.execute("PRAGMA user_version").fetchone() == (3100,)
    with pycolmap.Database.open(database) as opened:  # and COLMAP brings it up to date
        assert opened.read_two_view_geometry(1, 2).inlier_matches.shape == (20, 2)


def test_one_that_another_program_writes_is_left(
    database: Path, tmp_path: Path, capsys, impatient
) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    write_pairs(tmp_path / "pairs.txt", PAIRS)
    files = [str(tmp_path / name) for name in ("f.h5", "pairs.txt", "m.h5")]
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE images SET name = 'theirs' WHERE image_id = 3")
        assert main(["export", *files, "--database", str(database)]) == 1
        other.execute("ROLLBACK")
    (said,) = capsys.readouterr().err.splitlines()
    assert (
        said
        == f"dift-geo: {database} is in use by another program; close it and run again, "
        + ("nothing was changed")
    )
    assert len(rows(database)["two_view_geometries"]) == 3


def test_what_another_program_has_open_is_seen_by_it(database: Path, tmp_path: Path) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    with closing(sqlite3.connect(database)) as other:
        assert len(other.execute("SELECT * FROM two_view_geometries").fetchall()) == 3
        export(tmp_path, database, PAIRS)
        assert other.execute("SELECT * FROM two_view_geometries").fetchall() == []


def test_a_database_that_may_not_be_written_says_so(database: Path, tmp_path: Path) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    database.chmod(0o444)
    if open_for_writing(database):
        pytest.skip("this user may write everything")
    with pytest.raises(OSError, match="cannot be written"):
        export(tmp_path, database, PAIRS)


def open_for_writing(path: Path) -> bool:
    try:
        path.open("r+b").close()
    except PermissionError:
        return False
    return True


def test_a_new_database_is_there_whole_or_not_at_all(database: Path, tmp_path: Path) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS[:2])
    photos = tmp_path / "photos"
    from dift_geo.images import write_image

    for name in NAMES:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(photos / name, np.zeros((48, 64, 3), np.uint8))
    new = tmp_path / "new" / "x.db"
    arguments = new, photos, tmp_path / "f.h5", PAIRS, tmp_path / "m.h5"
    with pytest.raises(KeyError):
        export_database(*arguments)
    assert list(new.parent.iterdir()) == []
    shutil.copy(database, tmp_path / "new" / "x.db-wal")
    with pytest.raises(ValueError, match=r"x.db-wal is left of another database; remove it"):
        export_database(*arguments)
    (tmp_path / "new" / "x.db-wal").unlink()
    store_matches(tmp_path / "m.h5", PAIRS[2:])
    export_database(*arguments)
    assert [file.name for file in new.parent.iterdir()] == ["x.db"]
    assert len(rows(new)["matches"]) == 3


def test_a_linked_database_stays_linked_and_a_link_to_nothing_is_told(
    database: Path, tmp_path: Path
) -> None:
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    link, nothing = tmp_path / "link.db", tmp_path / "nothing.db"
    link.symlink_to(database)
    export(tmp_path, link, PAIRS)
    assert link.is_symlink()
    assert len(rows(database)["two_view_geometries"]) == 0
    nothing.symlink_to(tmp_path / "unmounted" / "x.db")
    for name in NAMES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "photos" / name, np.zeros((48, 64, 3), np.uint8))
    stores = tmp_path / "f.h5", PAIRS, tmp_path / "m.h5"
    with pytest.raises(InputError, match=r"is a link to .*unmounted/x\.db, which is not there"):
        export_database(nothing, tmp_path / "photos", *stores)
    assert nothing.is_symlink()


def test_triggers_are_not_set_off(database: Path, tmp_path: Path) -> None:
    """This one would never end."""
    store_features(tmp_path / "f.h5")
    store_matches(tmp_path / "m.h5", PAIRS)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    with closing(sqlite3.connect(database)) as sql, sql:
        sql.execute(
            f"CREATE TRIGGER mine BEFORE DELETE ON matches BEGIN "
            f"DELETE FROM descriptors WHERE rows IN ({endless}); END"
        )
    before = beside(database)
    with pytest.raises(InputError, match="has a trigger 'mine'"):
        export(tmp_path, database, PAIRS)
    assert beside(database) == before
