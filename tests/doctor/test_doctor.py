"""What the doctor says of whole, damaged and contradicting files of a run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from synthetic_sfm import FOCAL, SIZE_WH, make_scene

import dift_geo.doctor.stores
from dift_geo.dift.projection import Projection
from dift_geo.doctor import Examination, examine
from dift_geo.doctor.environment import NEEDED
from dift_geo.errors import NotAFolderError
from dift_geo.recipe import json_text
from dift_geo.sfm import SfmOptions, reconstruct_from_files
from dift_geo.store.features import FeatureStore
from dift_geo.store.lock import WriterLock
from dift_geo.store.matches import MatchStore

KNOWN = {"*": ("SIMPLE_PINHOLE", [FOCAL, SIZE_WH[0] / 2, SIZE_WH[1] / 2])}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    scene = make_scene(folder / "scene")
    out = folder / "out"
    out.mkdir()
    for store in (scene.features, scene.matches):
        shutil.copy(store, out)
    stores = out / "features.h5", out / "matches.h5"
    reconstruct_from_files(scene.images, out, *stores, SfmOptions(intrinsics=KNOWN))
    projection = Projection(np.ones(6, np.float32), np.ones((6, 3), np.float32), {})
    projection.save(out / "own.safetensors")
    return out


@pytest.fixture
def out(finished, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def broken(found: Examination) -> dict[str, str]:
    """What is broken, by its subject."""
    said: dict[str, str] = {}
    for finding in found.findings:
        assert "\n" not in finding.text
        if finding.state == "broken":
            said[finding.subject] = f"{said.get(finding.subject, '')} {finding.text}"
    return said


def states(found: Examination) -> dict[str, str]:
    return {finding.subject: finding.state for finding in found.findings[::-1]}


def test_a_finished_run_is_well_and_stays_as_it_is(finished) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    found = examine(finished)
    assert found.well, broken(found)
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert after == before
    subjects = states(found)
    for name in ("features.h5", "matches.h5", "pairs.txt", "database.db", "summary.json"):
        assert subjects[name] == "ok", name
    assert subjects["own.safetensors"] == "ok"
    assert any(name.startswith("sparse") for name in subjects)
    page = found.page()
    assert "5 images, all read: 750 keypoints" in page
    assert "5 images, 750 keypoints, 10 pairs, 10 of them verified" in page
    assert page.endswith("all is well")
    assert json.loads(json_text(found.plain()))["well"] is True


def test_without_a_folder_there_is_the_environment() -> None:
    found = examine()
    assert found.well, broken(found)
    assert set(states(found)) <= {"packages", "writing", "room"}
    for name in ("python", "platform", "packages", "torch", "threads", "devices", "disk", "memory"):
        assert found.environment[name]
    assert "pycolmap" in found.environment["packages"]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(tmp_path, name) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotAFolderError, match="expected the folder of a run"):
        examine(tmp_path / name)


def test_an_empty_folder_is_no_run(tmp_path) -> None:
    found = examine(tmp_path)
    assert found.well
    assert "holds no files of a run" in found.page()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill(path: Path) -> None:
    path.write_bytes(b"this is not what it was" * 40)


@pytest.mark.parametrize("damage", [cut, fill])
@pytest.mark.parametrize(
    "name", ["features.h5", "matches.h5", "database.db", "summary.json", "own.safetensors"]
)
def test_a_damaged_file_is_named(out, name, damage) -> None:
    damage(out / name)
    found = examine(out)
    assert name in broken(found)
    assert not found.well
    assert "BROKEN" in found.page()


@pytest.mark.parametrize(("damage", "place"), [(cut, "sparse"), (fill, "sparse/0")])
def test_a_damaged_model_is_named(out, damage, place) -> None:
    damage(out / place / "images.bin")
    assert any(name.startswith("sparse") for name in broken(examine(out)))


def test_a_model_that_is_gone_is_named(out) -> None:
    for model in out.rglob("images.bin"):
        model.unlink()
    assert "holds no model" in broken(examine(out))["sparse"]


def test_a_flipped_bit_of_a_store_is_named(out) -> None:
    data = bytearray((out / "features.h5").read_bytes())
    with FeatureStore(out / "features.h5") as store:
        row = store["view 3.png"].keypoints.xy[:4].astype(np.float32).tobytes()
    data[data.index(row) + 5] ^= 1
    (out / "features.h5").write_bytes(data)
    assert "'view 3.png'" in broken(examine(out))["features.h5"]


def test_matches_of_other_features_are_named(out) -> None:
    with FeatureStore(out / "features.h5", {"scene": 0}) as store:
        features = store["view 1.png"]
        store["view 1.png"] = type(features)(
            type(features.keypoints)(
                features.keypoints.xy[:9], features.keypoints.scores[:9], SIZE_WH
            ),
            features.descriptors[:9],
        )
        store.merge()
    said = broken(examine(out))
    assert "of 'view 1.png', which has 9 keypoints" in said["matches.h5"]


def test_matches_with_old_fingerprints_are_stale(out) -> None:
    with FeatureStore(out / "features.h5") as features:
        counts = {name: features.count(name) for name in features}
    with MatchStore(out / "matches.h5", {"scene": 0}) as store:
        pair = next(iter(store))
        store.put(pair, store[pair], counts[pair[0]], ("other", "others"))
        store.merge()
    assert "1 pairs were matched with other features" in broken(examine(out))["matches.h5"]


def test_pairs_that_name_nothing_are_named(out) -> None:
    (out / "pairs.txt").write_text("view 0.png\tnobody.png\n")
    assert "nobody.png" in broken(examine(out))["pairs.txt"]
    (out / "pairs.txt").write_text("")
    assert "pairs.txt" in broken(examine(out))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE matches SET data = zeroblob(3)", "expected"),
        ("UPDATE matches SET data = x'ff7f0000ff7f0000', rows = 1, cols = 2", "point beyond"),
        ("UPDATE keypoints SET cols = 7", "bytes, expected"),
        ("DELETE FROM cameras", "has no camera"),
        ("DROP TABLE images", "has no table images"),
    ],
)
def test_a_contradicting_database_is_named(out, change, message) -> None:
    with closing(sqlite3.connect(out / "database.db")) as database:
        database.execute(change)
        database.commit()
    assert message in broken(examine(out))["database.db"]


def test_a_locked_database_is_told(out, impatient) -> None:
    with closing(sqlite3.connect(out / "database.db")) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        said = examine(out).page()
    assert "in use by another program" in said or "database.db" in said


def test_what_an_interrupted_run_leaves_is_a_note(out) -> None:
    (out / "features.h5.part").touch()
    (out / "features.h5.lock").touch()
    (out / "matches.h5.shards").mkdir()
    found = examine(out)
    assert found.well
    page = found.page()
    assert "features.h5.part was left by a killed run" in page
    assert "features.h5.lock was left by a killed run" in page
    assert "matches.h5.shards holds work of a run that did not end" in page


def test_a_store_that_is_being_written_is_a_note(out) -> None:
    lock = WriterLock(out / "features.h5")
    try:
        found = examine(out)
    finally:
        lock.release()
    assert found.well
    assert "is being written by another process" in found.page()


def test_results_of_others_are_a_note(tmp_path, out) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    shutil.copy(out / "database.db", foreign)
    found = examine(foreign)
    assert found.well
    assert "dift-geo did not make" in found.page()


def test_a_large_store_is_read_in_part(out, monkeypatch) -> None:
    monkeypatch.setattr(dift_geo.doctor.stores, "SECONDS", -1.0)
    assert "5 images, 0 of them read" in examine(out).page()


def test_a_package_that_cannot_be_imported_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, NEEDED["kornia"], None)
    assert "kornia cannot be imported" in broken(examine())["packages"]


def test_a_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path) -> None:
    import dift_geo.doctor.environment as environment

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(environment, "TemporaryDirectory", refuse)
    assert "cannot be written" in broken(examine(tmp_path))["writing"]
