"""The training program, on pictures made here: cut, train, resume, export, load."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from dift_geo.backends.loader import load_backend
from dift_geo.backends.modelfiles import write_settings
from dift_geo.backends.tiny import WEIGHTS, Tiny
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import Projection
from dift_geo.images import write_image


@pytest.fixture(scope="module")
def program(pipeline_module):
    return pipeline_module("train_tiny")


@pytest.fixture(scope="module")
def data(pipeline_module):
    return pipeline_module("tiny_patches")


@pytest.fixture
def work(data, texture, tmp_path):
    patches = data.cut_image(texture((400, 300)), np.random.default_rng(0), 60)
    np.save(tmp_path / "train.npy", patches)
    np.save(tmp_path / "val.npy", patches[:8])
    return tmp_path


def test_probe_matches_views_of_validation_pictures(program, texture, tmp_path):
    (tmp_path / "packages").mkdir()
    for index in range(3):
        write_image(tmp_path / "packages" / f"{index}.png", texture((220, 180), index))
    (tmp_path / "images.txt").write_text(
        "".join(f"{i % 3}.png\n" for i in range(3 * program.SPLIT))
    )
    assert 0.1 < program.probe(tmp_path, WEIGHTS)["mma"] <= 1
    assert program.probe(tmp_path / "packages", WEIGHTS) == {}


def run(program, work, steps_worth_of_minutes):
    program.main(
        [
            "train",
            str(work),
            "--minutes",
            str(steps_worth_of_minutes),
            "--batch",
            "4",
            "--snapshot-minutes",
            "60",
        ]
    )


def test_patches_are_cut_at_several_sizes(data, texture):
    patches = data.cut_image(texture((400, 300)), np.random.default_rng(0), 60)
    assert patches.shape[1:] == (32, 32)
    assert patches.dtype == np.uint8
    assert len(patches) > 60
    assert patches.std((1, 2)).min() > 0.02 * 255 - 1  # flat ones are of no use


def test_select_throws_out_flat_art_and_small_pictures(data, texture, tmp_path):
    write_image(tmp_path / "photo.png", texture((300, 200)))
    write_image(tmp_path / "logo.png", texture((300, 200)))
    write_image(tmp_path / "small.png", texture((80, 80)))
    art = np.zeros((200, 300, 3), np.uint8)
    art[50:100] = 255
    write_image(tmp_path / "art.png", art)
    (tmp_path / "broken.png").write_text("no picture")
    assert data.select(tmp_path) == ["photo.png"]


def test_batch_is_what_the_backend_shows_the_network(program, tiny):
    """Training and use must agree on the encoding, or the model meets at run time what it never
    saw.
    """
    patches = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)
    trained_on = program.batch_of(patches, np.arange(3), np.zeros(3, int))
    shown, _ = tiny.encode(torch.from_numpy(patches).float()[:, None].expand(-1, 3, -1, -1) / 255)
    torch.testing.assert_close(trained_on, shown, atol=1e-4, rtol=1e-4)


def test_trains_resumes_and_exports(program, work, tmp_path, capsys):
    run(program, work, 0.005)
    first = torch.load(work / "checkpoint.pt", weights_only=True)["state"]
    run(program, work, first["seconds"] / 60 + 0.005)
    state = torch.load(work / "checkpoint.pt", weights_only=True)["state"]
    assert state["step"] > first["step"] > 0
    assert f"resumed at step {first['step']}" in capsys.readouterr().out
    records = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    assert len(records) == 2
    assert set(records[0]) >= {"step", "loss", "val@20", "val@800"}
    program.main(["export", str(work), str(tmp_path / "model")])
    model = Tiny(tmp_path / "model")
    for reading in (None, "oriented", "upright", "dense"):
        assert model.settings(reading, "default") == program.SETTINGS[reading or "oriented"]
    goes_on = tmp_path / "again"
    goes_on.mkdir()
    for split in ("train", "val"):
        (goes_on / f"{split}.npy").write_bytes((work / f"{split}.npy").read_bytes())
    program.main(
        [
            "train",
            str(goes_on),
            "--minutes",
            "0",
            "--batch",
            "4",
            "--start",
            str(tmp_path / "model"),
        ]
    )
    saved = torch.load(goes_on / "checkpoint.pt", weights_only=True)["model"]
    torch.testing.assert_close(saved["conv_in.weight"], model.unet.conv_in.weight, atol=0, rtol=0)
    features = model.decoder_features(model.encode(torch.rand(2, 3, 32, 32))[0], 100, (1,))[0]
    assert features.shape == (2, 96, 8, 8)
    assert torch.isfinite(features).all()


def test_the_shipped_settings_are_those_of_the_program(program, tmp_path):
    """The folder in the package was written by this program, numbers and order alike."""
    write_settings(tmp_path / "settings.json", program.SETTINGS)
    written = json.loads((tmp_path / "settings.json").read_text())
    assert written == json.loads((WEIGHTS / "settings.json").read_text())
    for effort, settings in program.EFFORTS.items():
        write_settings(tmp_path / "settings.json", settings)
        shipped = (WEIGHTS / effort / "settings.json").read_text()
        assert (tmp_path / "settings.json").read_text() == shipped
        fitted = Projection.load(WEIGHTS / effort / "projection_oriented.safetensors")
        assert fitted.about["config"] == repr(settings["oriented"])
        assert fitted.constant == program.CONSTANTS.get((effort, "oriented"), 2.0)


def test_projections_of_an_effort_go_into_its_folder(program, texture, tmp_path):
    model = tmp_path / "mine"
    shutil.copytree(WEIGHTS, model, ignore=shutil.ignore_patterns("projection*"))
    (tmp_path / "packages").mkdir()
    for index in range(3):
        write_image(tmp_path / "packages" / f"{index}.png", texture((500, 180), index))
    (tmp_path / "images.txt").write_text("0.png\n1.png\n2.png\n")
    asked = ["--effort", "fast", "--readings", "oriented"]
    program.main(["project", str(tmp_path), str(model), *asked])
    assert not list(model.glob("projection*"))
    dift = Dift(load_backend(model).at_effort("fast"), Sift(40))
    assert dift.projection is not None
    assert dift.projection.constant == program.CONSTANTS["fast", "oriented"]
    assert dift.extract(texture(), "a").descriptors.shape == (40, 128)


def test_an_exported_model_gets_projections_and_runs_by_its_folder(
    program, texture, tmp_path, capsys, monkeypatch
):
    """With settings of its own, which `project` fits for and `--backend FOLDER` then takes."""
    own = program.SETTINGS["oriented"]
    own = replace(own, reading=replace(own.reading, extents=(10.0,), tilt=1.0), layers=(-1,))
    upright = program.SETTINGS["upright"]
    upright = replace(upright, reading=replace(upright.reading, radii_px=(12.0,), tilt=1.0))
    model = tmp_path / "mine"
    shutil.copytree(WEIGHTS, model, ignore=shutil.ignore_patterns("projection*"))
    write_settings(model / "settings.json", {"oriented": own, "upright": upright})
    asked = []
    monkeypatch.setattr(
        program, "load_detector", lambda word, **limits: asked.append(word) or Sift(40)
    )
    (tmp_path / "packages").mkdir()
    for index in range(3):
        write_image(tmp_path / "packages" / f"{index}.png", texture((500, 180), index))
    (tmp_path / "images.txt").write_text("0.png\n1.png\n2.png\n")
    readings = ["oriented", "oriented+rootsift", "upright"]
    program.main(["project", str(tmp_path), str(model), "--readings", *readings])
    assert "oriented+rootsift: " in capsys.readouterr().out
    backend = load_backend(model)
    dift = Dift(backend, Sift(40))
    assert dift.config == own
    assert dift.projection is not None
    assert dift.extract(texture(), "a").descriptors.shape == (40, 128)
    both = dift.beside_of(RootSift(), "auto")
    assert both.projection is not None
    assert both.projection.input_dim == dift.projection.input_dim + 128
    assert asked == ["aliked"]
    fitted = Projection.load(model / "projection_upright.safetensors")
    assert fitted.about["config"] == repr(upright)
    with pytest.raises(
        ValueError, match="has no reading 'dense', expected one of oriented, upright"
    ):
        backend.settings("dense", "default")
