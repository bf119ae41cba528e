"""COLMAP's own files, against pycolmap, SQLite read by hand, and COLMAP's importers if there."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from dift_geo import Features, FeatureStore, Keypoints, Matches, MatchStore, Sift, read_image
from dift_geo.cli.main import main
from dift_geo.colmap.exchange import export_database, export_text, import_database
from dift_geo.detectors.colmap import ColmapKeypoints
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError
from dift_geo.extractor import build_extractor
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.lists import write_pairs

pycolmap = pytest.importorskip("pycolmap")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, pipeline_module) -> Path:
    folder = tmp_path_factory.mktemp("colmap")
    pipeline_module("rendered_scene").write_scene(folder / "images", views=3, size_wh=(480, 360))
    return folder / "images"


@pytest.fixture(scope="module")
def colmap_made(photos: Path) -> Path:
    """What COLMAP's own extractor and matcher make of the photos."""
    path = photos.parent / "colmap.db"
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    extraction.sift.max_num_features = 200
    pycolmap.extract_features(
        path, photos, camera_mode=pycolmap.CameraMode.SINGLE, extraction_options=extraction
    )
    pycolmap.match_exhaustive(
        path, matching_options=pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
    )
    return path


@pytest.fixture
def database(colmap_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(colmap_made, tmp_path / "database.db"))


def tables(path: Path) -> dict[str, dict]:
    """What a database holds, by SQL, without pycolmap.

    Keypoints and descriptors by image name, matches and configurations by pair of names.
    """
    with sqlite3.connect(path) as connection:
        names = dict(connection.execute("SELECT image_id, name FROM images"))

        def arrays(table: str, dtype: type) -> dict[int, np.ndarray]:
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            columns = [c[1] for c in connection.execute(f"PRAGMA table_info({table})")]
            records = [dict(zip(columns, row)) for row in rows]
            key = "pair_id" if "pair_id" in columns else "image_id"
            return {
                r[key]: np.frombuffer(r["data"] or b"", dtype).reshape(r["rows"], r["cols"])
                for r in records
            }

        configurations = dict(connection.execute("SELECT pair_id, config FROM two_view_geometries"))
        keypoints, descriptors = arrays("keypoints", np.float32), arrays("descriptors", np.uint8)
        matches = arrays("matches", np.uint32)
    connection.close()

    def pair(pair_id: int) -> tuple[str, str]:
        # COLMAP's documentation
        return names[(pair_id - pair_id % 2147483647) // 2147483647], names[pair_id % 2147483647]

    return {
        "keypoints": {names[i]: rows for i, rows in keypoints.items()},
        "descriptors": {names[i]: rows for i, rows in descriptors.items()},
        "matches": {pair(i): rows for i, rows in matches.items()},
        "configurations": {pair(i): value for i, value in configurations.items()},
    }


def test_colmaps_keypoints_are_where_and_how_colmap_saw_them(database: Path, photos: Path) -> None:
    """RootSIFT cut by OpenCV at the imported place, scale and angle is as COLMAP computed it."""
    stored = tables(database)["descriptors"]
    detector = ColmapKeypoints(database)
    for name in sorted(stored):
        image = read_image(photos / name)
        ours = Sift().describe(image, detector.detect(image, name), name)
        theirs = stored[name] / np.linalg.norm(stored[name].astype(float), axis=1, keepdims=True)
        # 0.66 with the angle's sign turned, 0.77 at half the scale
        assert np.median((ours * theirs).sum(1)) > 0.97


def test_detected_rows_follow_the_size_of_the_picture(database: Path, photos: Path) -> None:
    detector = ColmapKeypoints(database)
    full = detector.keypoints_of("view_0.png")
    stored = tables(database)["keypoints"]["view_0.png"]
    np.testing.assert_allclose(full.xy, stored[:, :2] - 0.5, atol=1e-5)
    half = detector.detect(np.zeros((180, 240, 3), np.uint8), "view_0.png")
    np.testing.assert_allclose((half.xy + 0.5) * 2, stored[:, :2], atol=1e-3)
    np.testing.assert_allclose(half.scale * 2, full.scale, rtol=1e-5)


@pytest.mark.parametrize("columns", [2, 4, 6])
def test_all_of_colmaps_keypoint_layouts(tmp_path: Path, columns: int) -> None:
    scale, angle = 3.0, 0.7
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    row = {2: [10, 20], 4: [10, 20, scale, angle], 6: [10, 20, cos, -sin, sin, cos]}[columns]
    with pycolmap.Database.open(tmp_path / "one.db") as one:
        camera = one.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        image = one.write_image(pycolmap.Image(name="a.png", camera_id=camera))
        one.write_keypoints(image, np.array([row], np.float32))
    found = ColmapKeypoints(tmp_path / "one.db").keypoints_of("a.png")
    np.testing.assert_allclose(found.xy, [[9.5, 19.5]])
    assert found.size_wh == (64, 48)
    if columns == 2:
        assert found.scale is None
        assert found.angle is None
    else:
        np.testing.assert_allclose(found.scale, scale, rtol=1e-5)
        np.testing.assert_allclose(found.angle, angle, rtol=1e-5)


def test_recipe_is_of_the_numbers_not_of_the_path(database: Path, tmp_path: Path) -> None:
    recipe = ColmapKeypoints(database).recipe()
    other = Path(shutil.copy(database, tmp_path / "other.db"))
    assert ColmapKeypoints(other).recipe() == recipe
    with pycolmap.Database.open(other) as opened:
        rows = opened.read_keypoints(1)
        rows[0, 0] += 1
        opened.update_keypoints(1, rows)
    assert ColmapKeypoints(other).recipe() != recipe


def test_errors_are_clear(database: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no COLMAP database at"):
        ColmapKeypoints(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(KeyError, match=r"'x.png' is not in .*; expected one of its 3 images"):
        ColmapKeypoints(database).keypoints_of("x.png")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(ValueError, match="is no COLMAP database"):
        ColmapKeypoints(tmp_path / "text.db")


def test_dift_describes_colmaps_keypoints_and_the_matches_go_back(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    """What a user does whose project is a COLMAP database."""
    before = tables(database)
    extractor = build_extractor(detector=f"colmap:{database}", reading="dense", size=240)
    names = sorted(before["keypoints"])
    pairs = list(combinations(names, 2))
    extract_images(photos, names, extractor, tmp_path / "features.h5")
    match = MatchOptions(ratio=0.95)
    match_pairs(tmp_path / "features.h5", pairs, tmp_path / "matches.h5", match)
    export_database(database, photos, tmp_path / "features.h5", pairs, tmp_path / "matches.h5")
    after = tables(database)
    for name in names:
        np.testing.assert_array_equal(after["keypoints"][name], before["keypoints"][name])
        np.testing.assert_array_equal(after["descriptors"][name], before["descriptors"][name])
    with MatchStore(tmp_path / "matches.h5") as matches:
        for pair in pairs:
            np.testing.assert_array_equal(after["matches"][pair], matches[pair].pairs)
    assert after["configurations"] == {}  # COLMAP's verification of its old matches went with them
    export_database(
        database, photos, tmp_path / "features.h5", pairs, tmp_path / "matches.h5", verified=True
    )
    assert set(tables(database)["configurations"]) == {
        pair for pair in pairs if len(after["matches"][pair])
    }
    # COLMAP 4 passes over UNDEFINED without a word
    assert 0 not in tables(database)["configurations"].values()


def test_a_new_database_maps(database: Path, photos: Path, tmp_path: Path) -> None:
    import_database(database, tmp_path / "features.h5", tmp_path / "matches.h5")
    pairs = list(combinations(["view_0.png", "view_1.png", "view_2.png"], 2))
    write_pairs(tmp_path / "pairs.txt", pairs)
    files = [str(tmp_path / name) for name in ("features.h5", "pairs.txt", "matches.h5")]
    target = ["--database", str(tmp_path / "new.db"), "--images", str(photos)]
    assert main(["export", *files, *target, "--verified"]) == 0
    models = pycolmap.incremental_mapping(tmp_path / "new.db", photos, tmp_path / "models")
    assert max(model.num_reg_images() for model in models.values()) == 3


def test_export_refuses_a_database_with_other_keypoints(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    names = "view_0.png", "view_1.png"
    features, matches = tmp_path / "features.h5", tmp_path / "matches.h5"
    extractor = build_extractor(descriptor="rootsift", max_keypoints=50)
    extract_images(photos, names, extractor, features)
    match_pairs(features, [names], matches)
    other = "other keypoints for 'view_0.png' than the 50 features; extract with --detector colmap:"
    with pytest.raises(ValueError, match=other):
        export_database(database, photos, features, [names], matches)
    with pytest.raises(ValueError, match=r"'a.png' is not in .*; choose a new file"):
        export_database(database, photos, features, [("a.png", "view_1.png")], matches)


def test_import_keeps_everything(database: Path, tmp_path: Path) -> None:
    f, m = str(tmp_path / "f.h5"), str(tmp_path / "m.h5")
    assert main(["import", str(database), f, "--matches", m]) == 0
    stored = tables(database)
    with FeatureStore(tmp_path / "f.h5") as features, MatchStore(tmp_path / "m.h5") as matches:
        assert list(features) == ["view_0.png", "view_1.png", "view_2.png"]
        for name in features:
            np.testing.assert_allclose(
                features[name].keypoints.xy, stored["keypoints"][name][:, :2] - 0.5, atol=1e-4
            )
            bytes_back = np.round(features[name].descriptors * 512).clip(0, 255)
            assert np.abs(bytes_back - stored["descriptors"][name]).max() <= 1
        for pair, rows in stored["matches"].items():
            np.testing.assert_array_equal(
                matches[pair].pairs, rows[np.argsort(rows[:, 0], kind="stable")]
            )


def test_importing_a_database_without_descriptors_or_keypoints(tmp_path: Path) -> None:
    with pycolmap.Database.open(tmp_path / "bare.db") as bare:
        camera = bare.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        ids = [
            bare.write_image(pycolmap.Image(name=f"{i}.png", camera_id=camera)) for i in range(3)
        ]
        bare.write_keypoints(ids[0], np.array([[1, 2]], np.float32))
        bare.write_keypoints(ids[1], np.zeros((0, 2), np.float32))
    assert import_database(tmp_path / "bare.db", tmp_path / "f.h5", tmp_path / "m.h5")[1] == 0
    with FeatureStore(tmp_path / "f.h5") as features:
        assert features["0.png"].descriptors.shape == (1, 0)


def _store_text_example(folder: Path, descriptors: np.ndarray, shaped: bool = True) -> None:
    n = len(descriptors)
    xy = np.arange(2 * n, dtype=np.float32).reshape(n, 2) + np.float32(1000 / 3)
    shape = (np.full(n, 2.5, np.float32), np.full(n, -1.25, np.float32)) if shaped else (None, None)
    with FeatureStore(folder / "f.h5", {}) as features:
        for name in ("a.png", "sub/b.png"):
            features[name] = Features(Keypoints(xy, np.ones(n), (640, 480), *shape), descriptors)
        features.merge()
    with MatchStore(folder / "m.h5", {}) as matches:
        matches.put(("a.png", "sub/b.png"), Matches(np.array([[0, 1], [2, 0]]), np.ones(2)), n)
        matches.merge()


def test_an_image_matched_with_itself_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with pycolmap.Database.open(path) as made:
        camera = made.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        image = made.write_image(pycolmap.Image(name="a.png", camera_id=camera))
        made.write_keypoints(image, np.ones((3, 2), np.float32))
    with closing(sqlite3.connect(path)) as sql, sql:
        row = 2147483647 * image + image, 1, 2, np.zeros((1, 2), np.uint32).tobytes()
        sql.execute("INSERT INTO matches VALUES (?, ?, ?, ?)", row)
    with pytest.raises(InputError, match="has matches of image 1 with itself"):
        import_database(path, tmp_path / "f.h5", tmp_path / "m.h5")


def test_text_files_say_what_colmaps_importers_expect(tmp_path: Path) -> None:
    descriptors = np.abs(np.random.default_rng(0).normal(size=(3, 128)))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    _store_text_example(tmp_path, descriptors)
    export_text(tmp_path / "text", tmp_path / "f.h5", [("a.png", "sub/b.png")], tmp_path / "m.h5")
    lines = (tmp_path / "text/features/sub/b.png.txt").read_text().splitlines()
    assert lines[0] == "3 128"
    numbers = np.array([line.split() for line in lines[1:]], float)
    with FeatureStore(tmp_path / "f.h5") as features:
        np.testing.assert_array_equal(
            numbers[:, :2].astype(np.float32), features["a.png"].keypoints.xy + np.float32(0.5)
        )
    np.testing.assert_array_equal(numbers[:, 2:4], [[2.5, -1.25]] * 3)
    assert np.abs(numbers[:, 4:] - 512 * descriptors).max() < 1
    assert (tmp_path / "text/matches.txt").read_text() == "a.png sub/b.png\n0 1\n2 0\n"


@pytest.mark.parametrize("dim", [128, 64])
def test_text_has_zeros_for_descriptors_that_bytes_cannot_hold(tmp_path: Path, dim: int) -> None:
    _store_text_example(tmp_path, -np.ones((3, dim)) / np.sqrt(dim), shaped=False)
    export_text(tmp_path / "text", tmp_path / "f.h5")
    rows = [
        line.split() for line in (tmp_path / "text/features/a.png.txt").read_text().splitlines()[1:]
    ]
    assert all(row[2:] == ["1", "0", *["0"] * 128] for row in rows)
    assert not (tmp_path / "text/matches.txt").exists()


def test_text_refuses_names_with_spaces(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", {}) as features:
        features["a b.png"] = Features(
            Keypoints(np.zeros((0, 2)), np.zeros(0), (4, 4)), np.zeros((0, 128))
        )
        features.merge()
    with pytest.raises(ValueError, match=r"'a b.png' holds a space"):
        export_text(tmp_path / "text", tmp_path / "f.h5")


@pytest.mark.skipif(shutil.which("colmap") is None, reason="no colmap program on the path")
def test_colmaps_importers_read_the_text_back(database: Path, photos: Path, tmp_path: Path) -> None:
    import_database(database, tmp_path / "f.h5", tmp_path / "m.h5")
    before = tables(database)
    export_text(tmp_path / "text", tmp_path / "f.h5", list(before["matches"]), tmp_path / "m.h5")
    new, text = str(tmp_path / "new.db"), tmp_path / "text"
    features = ["--image_path", str(photos), "--import_path", str(text / "features")]
    matches = ["--match_list_path", str(text / "matches.txt"), "--match_type", "raw"]
    called = ["colmap", "matches_importer", "--help"]
    options = subprocess.run(called, capture_output=True, text=True, timeout=100).stdout
    version_4 = "--FeatureMatching.use_gpu" in options
    gpu = "--FeatureMatching.use_gpu" if version_4 else "--SiftMatching.use_gpu"
    for arguments in (["feature_importer", *features], ["matches_importer", *matches, gpu, "0"]):
        command = ["colmap", *arguments, "--database_path", new]
        subprocess.run(command, check=True, capture_output=True, timeout=100)
    after = tables(Path(new))
    for name, rows in before["keypoints"].items():
        np.testing.assert_allclose(after["keypoints"][name][:, :2], rows[:, :2], atol=1e-3)
    for pair, rows in before["matches"].items():
        np.testing.assert_array_equal(
            after["matches"][pair], rows[np.argsort(rows[:, 0], kind="stable")]
        )


def test_commands_ask_for_what_they_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["f.h5", "p.txt", "m.h5"]
    assert main(["export", *files]) == 1
    assert "give --database FILE or --text FOLDER" in capsys.readouterr().err
    assert main(["export", *files, "--database", str(tmp_path / "new.db")]) == 1
    assert "give --images FOLDER" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none.db"), "f.h5"]) == 1
    assert "no COLMAP database" in capsys.readouterr().err


def test_the_commands_of_the_documentation_run(
    database: Path, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    page = (ROOT / "docs" / "colmap.md").read_text(encoding="utf-8")
    section = page.partition("## A database that you have")[2].partition("## Exit codes")[0]
    lines = [line.partition("#")[0] for line in section.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("dift-geo ")]
    assert {command[1] for command in commands} >= {"extract", "match", "export", "import"}
    (tmp_path / "photos").symlink_to(photos)
    monkeypatch.chdir(tmp_path)  # where database.db is
    for command in commands:
        if command[1] == "import":  # into files of its own
            for name in ("features.h5", "matches.h5"):
                (tmp_path / name).unlink()
        assert main(command[1:]) == 0, command


def test_names_that_leave_their_folder_are_refused_before_anything_is_written(tmp_path) -> None:
    import h5py

    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name in ("a.png", "../../escaped.png"):
            file.create_group(name)["keypoints"] = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"'../../escaped.png' leaves its folder"):
        export_text(tmp_path / "out" / "text", tmp_path / "f.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]
