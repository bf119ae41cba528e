"""`dift-geo trust`, and what `reconstruct` says last."""

from __future__ import annotations

import json
import shutil

import pycolmap
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import make_scene

from dift_geo.sfm import reconstruct_from_stores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A scene and its finished run."""
    scene = make_scene(tmp_path_factory.mktemp("scene"))
    out = tmp_path_factory.mktemp("out")
    stores = scene.images, scene.features, scene.matches, scene.pairs
    reconstruct_from_stores(*stores, out)
    return scene, out


def test_a_run_says_what_is_in_its_summary(made, command) -> None:
    scene, out = made
    given = ["--features", scene.features, "--matches", scene.matches]
    done = command("reconstruct", scene.images, out, *given)
    assert done.code == 0, done.err
    trust = json.loads((out / "summary.json").read_text())["trust"]
    assert trust["level"] == "high"
    assert done.out.splitlines()[-1] == f"trust: high: {trust['reasons'][0]}"
    assert trust["runs_agree_deg"] < 0.1
    assert trust["held_out_within_2px"] > 0.95
    assert trust["registered"] == trust["images"] == 5


def test_a_run_that_is_not_to_be_trusted_has_its_exit_code(made, command, monkeypatch) -> None:
    from dift_geo.colmap import trust

    scene, out = made
    monkeypatch.setattr(trust, "HELD_OUT", (1.01, 1.01))
    given = ["--features", scene.features, "--matches", scene.matches]
    done = command("reconstruct", scene.images, out, *given)
    assert done.code == 4
    assert done.out.splitlines()[-1].startswith("trust: low: the model explains")
    assert pycolmap.Reconstruction(str(out / "sparse")).num_reg_images() == 5


def test_a_finished_model_is_judged(made, command) -> None:
    _, out = made
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = command("trust", out)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("trust: high: ")
    told = json.loads(command("trust", out, "--json").out)
    assert told["level"] == "high"
    assert told["runs"] == 3  # this one, and two that were made to compare
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_models_of_other_programs_are_judged_wherever_they_lie(made, command, tmp_path) -> None:
    """As COLMAP leaves them: PROJECT/database.db and PROJECT/sparse/0."""
    _, out = made
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    shutil.copy(out / "database.db", tmp_path / "database.db")
    pycolmap.Reconstruction(str(out / "sparse")).write(str(tmp_path / "sparse" / "0"))
    for place in (tmp_path, tmp_path / "sparse", tmp_path / "sparse" / "0"):
        assert command("trust", place).code == 0


def test_a_wrong_model_is_refused(made, command, tmp_path) -> None:
    scene, _ = made
    names = sorted(scene.poses)
    shuffled = {name: scene.poses[other] for name, other in zip(names, [*names[2:], *names[:2]])}
    (tmp_path / "sparse").mkdir()
    model_of(shuffled).write(str(tmp_path / "sparse"))
    database_of(scene, tmp_path / "database.db")
    done = command("trust", tmp_path)
    assert done.code == 4
    assert "trust: low: " in done.out
    assert "weak images: view 0.png" in done.out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda here, out: None, "holds no COLMAP model"),
        (lambda here, out: shutil.copytree(out / "sparse", here / "sparse"), "has no database.db"),
        (
            lambda here, out: (
                shutil.copytree(out / "sparse", here / "sparse"),
                (here / "database.db").write_text("no"),
            ),
            "database.db is no",
        ),
        (
            lambda here, out: (
                shutil.copytree(out / "sparse", here / "sparse"),
                database_of_others(here),
            ),
            "expected the database that the model was made of",
        ),
        (
            lambda here, out: (
                shutil.copytree(out / "sparse", here / "sparse"),
                (here / "sparse" / "images.bin").write_bytes(b"no"),
                (here / "sparse" / "0" / "images.bin").write_bytes(b"no"),
                shutil.copy(out / "database.db", here / "database.db"),
            ),
            "cannot be read as a COLMAP model",
        ),
    ],
)
def test_what_cannot_be_judged_is_one_line(made, command, tmp_path, make, message) -> None:
    make(tmp_path, made[1])
    done = command("trust", tmp_path)
    assert done.code == 1
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def database_of_others(here) -> None:
    """A database of other photos."""
    with pycolmap.Database.open(str(here / "database.db")) as database:
        camera = database.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        database.write_image(pycolmap.Image(name="other.png", camera_id=camera))
