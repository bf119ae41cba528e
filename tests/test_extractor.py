"""From options to parts, and what contradicts itself."""

from __future__ import annotations

import argparse
import importlib.util
import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, textured
from small_models import aliked_file, disk_file

from dift_geo.backends.config import Dense, DiftConfig, Noise
from dift_geo.backends.tiny import WEIGHTS, Tiny
from dift_geo.dift.describer import Dift
from dift_geo.dift.joined import Joined
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.extractor import DESCRIPTORS, Extractor, ExtractorOptions, build_extractor
from dift_geo.images import resize_longest, write_image
from dift_geo.options import add_flags, from_words, option_names, take_flags
from dift_geo.testing import FakeBackend
from dift_geo.turned import Straighten
from dift_geo.types import Turn


def test_concatenation_is_the_weighted_mean_of_both_similarities(picture):
    """The dense projection's constant of 2 leaves a fifth of a row's square to what varies, so its
    row counts five times.
    """
    both = build_extractor(descriptor="dift+rootsift", reading="dense", max_keypoints=60, size=200)
    assert isinstance(both.describer, Joined)
    small = resize_longest(picture, 200)
    keypoints = both.detector.detect(small, "x")
    dift_rows, sift_rows = (
        describer.describe(small, keypoints, "x") for describer in both.describer.describers
    )
    rows = both.extract(picture, "x").descriptors
    similarity = (5 * dift_rows @ dift_rows.T + sift_rows @ sift_rows.T) / 6
    np.testing.assert_allclose(rows @ rows.T, similarity, atol=1e-5)


def test_rootsift_goes_through_the_shipped_projection_of_both(picture):
    both = build_extractor(descriptor="dift+rootsift", max_keypoints=60)
    dift = both.describer
    assert isinstance(dift, Dift)
    shipped = Projection.load(WEIGHTS / "projection_oriented+rootsift.safetensors")
    keypoints = both.detector.detect(picture, "x")
    alone = Dift(dift.backend, config=dift.config)
    raw = [
        alone.raw_descriptors(picture, keypoints, "x"),
        both.detector.own_describer().describe(picture, keypoints, "x"),
    ]
    np.testing.assert_allclose(
        dift.describe(picture, keypoints, "x"), shipped.apply(np.concatenate(raw, 1)), atol=1e-5
    )
    only = build_extractor(descriptor="dift", max_keypoints=60).describer
    assert only.projection.fingerprint != shipped.fingerprint


def test_a_projection_of_ones_own_serves_what_it_was_fitted_for(tmp_path, picture):
    words = {"descriptor": "dift+rootsift", "max_keypoints": 40}
    raw_dift = ExtractorOptions(**words).build_raw()
    assert raw_dift.projection is None
    raw = raw_dift.raw_descriptors(picture, raw_dift.detector.detect(picture, "x"), "x")
    noisy = raw + np.random.default_rng(0).normal(0, 0.05, raw.shape)
    Projection.fit(raw, noisy, 8, about={"beside": "sift"}).save(tmp_path / "both.safetensors")
    Projection.fit(raw[:, :-128], noisy[:, :-128], 8).save(tmp_path / "alone.safetensors")
    together = build_extractor(**words, projection=str(tmp_path / "both.safetensors"))
    assert together.extract(picture, "x").descriptors.shape == (40, 8)
    apart = build_extractor(**words, projection=tmp_path / "alone.safetensors")
    assert apart.extract(picture, "x").descriptors.shape == (40, 8 + 128)


@pytest.mark.parametrize(
    ("name", "own", "kind"), [("aliked", 64, aliked_file), ("disk", 128, disk_file)]
)
def test_learned_detectors_with_their_own_descriptors_and_with_ours(
    tmp_path, picture, name, own, kind
):
    words = {"detector": f"{name}:{kind(tmp_path)}", "max_keypoints": 30}
    alone = build_extractor(**words, descriptor=name).extract(picture)
    assert 0 < len(alone) <= 30
    assert alone.descriptors.shape[1] == own
    joined = build_extractor(**words, descriptor=f"dift+{name}", reading="dense")
    assert joined.describer.name == f"dift+{name}"
    both = joined.extract(picture)
    np.testing.assert_array_equal(both.keypoints.xy, alone.keypoints.xy)
    dift = build_extractor(**words, reading="dense").extract(picture)
    assert both.descriptors.shape[1] == own + dift.descriptors.shape[1]
    norms = np.linalg.norm(both.descriptors, axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5)


def test_keypoints_without_frames_are_read_upright_unless_asked_otherwise(tmp_path, picture):
    words = {"detector": f"aliked:{aliked_file(tmp_path)}", "max_keypoints": 20}
    found = build_extractor(**words)
    assert isinstance(found.describer, Dift)
    assert found.describer.config == Tiny().settings("upright", "default")
    shipped = Projection.load(WEIGHTS / "projection_upright.safetensors")
    keypoints = found.detector.detect(picture, "x")
    raw = found.describer.raw_descriptors(picture, keypoints, "x")
    np.testing.assert_allclose(found.extract(picture).descriptors, shipped.apply(raw), atol=1e-5)
    dense = build_extractor(**words, reading="dense").describer
    assert isinstance(dense, Dift)
    assert isinstance(dense.config.reading, Dense)


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ({}, None),
        ({"straighten": "auto"}, None),
        ({"straighten": "auto", "detector": "tiny"}, "zoom"),
        ({"straighten": "auto", "detector": "disk", "descriptor": "disk"}, "zoom"),
        ({"straighten": "auto", "detector": "tiny", "upright": True}, None),
        ({"straighten": "auto", "detector": "aliked", "reading": "oriented"}, None),
        ({"straighten": "auto", "detector": "listed:x", "reading": "dense"}, None),
        ({"straighten": "roll", "detector": "tiny"}, "roll"),
        ({"straighten": "zoom", "descriptor": "rootsift"}, "zoom"),
        ({"straighten": "off", "detector": "tiny"}, None),
    ],
)
def test_who_wants_photos_straightened(asked, mode):
    found = ExtractorOptions(**asked, size=640).straightening
    assert found == (None if mode is None else Straighten(mode, 640))


def test_straightened_photos_need_no_angles_and_the_recipe_says_so(picture):
    usual = build_extractor(descriptor="rootsift", max_keypoints=30)
    found = build_extractor(descriptor="rootsift", max_keypoints=30, straighten="roll")
    assert usual.straighten is None
    assert "straighten" not in usual.recipe()
    assert found.recipe()["straighten"] == {"mode": "roll", "size": 1600}
    assert usual.extract(picture).keypoints.angle.any()
    assert not found.extract(picture).keypoints.angle.any()
    turned = found.extract(np.ascontiguousarray(np.rot90(picture, -1)), turn=Turn(np.pi / 2))
    np.testing.assert_allclose(turned.keypoints.angle, np.pi / 2)
    straight = found.extract(picture)
    xy, h = turned.keypoints.xy, picture.shape[0]
    back = np.stack([xy[:, 1], h - 1 - xy[:, 0]], 1)
    np.testing.assert_allclose(back, straight.keypoints.xy, atol=1e-4)
    np.testing.assert_array_equal(turned.descriptors, straight.descriptors)


@pytest.mark.parametrize("upright", [False, True])
def test_learned_keypoints_get_frames_where_patches_are_to_be_oriented(tmp_path, picture, upright):
    words = {"detector": f"aliked:{aliked_file(tmp_path)}", "max_keypoints": 20}
    extractor = build_extractor(**words, reading="oriented", upright=upright)
    found = extractor.extract(picture)
    assert len(found) == 20
    assert found.keypoints.angle.any() != upright
    assert isinstance(extractor.describer, Dift)
    assert extractor.describer.config == Tiny().settings("oriented", "default")
    embedded = build_extractor(detector="tiny", max_keypoints=20, upright=upright)
    assert embedded.describer.config == extractor.describer.config
    assert embedded.extract(picture).keypoints.angle.any() != upright


def test_keypoints_come_in_the_frame_of_the_original(picture):
    extractor = build_extractor(descriptor="rootsift", max_keypoints=60, size=200)
    small = resize_longest(picture, 200)
    direct = extractor.detector.detect(small, "x")
    found = extractor.extract(picture, "x").keypoints
    factor = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
    np.testing.assert_allclose(found.xy, (direct.xy + 0.5) * factor - 0.5, atol=1e-4)
    assert found.size_wh == (picture.shape[1], picture.shape[0])


def test_dense_reading_has_one_keypoint_a_place(picture):
    dense = build_extractor(reading="dense", max_keypoints=500).extract(picture).keypoints
    places = np.concatenate([dense.xy, dense.scale[:, None]], 1)
    assert len(np.unique(places, axis=0)) == len(places)


def test_a_config_is_taken_as_it_is(picture):
    config = DiftConfig(reading=Dense(), t=7, layers=(1,), noise=Noise(seed=5), max_batch=3)
    extractor = build_extractor(config=config, seed=9, size=128)
    assert extractor.describer.config == config
    assert extractor.size == 128
    published = build_extractor(config=DiftConfig.paper("adm"), size=128)
    assert published.size is None


def test_what_is_asked_reaches_the_model():
    default = build_extractor().describer.config
    assert build_extractor(max_batch=5).describer.config == replace(default, max_batch=5)
    dense = build_extractor(reading="dense").describer.config
    assert isinstance(dense.reading, Dense)
    assert dense.layers != default.layers


def test_an_effort_changes_the_model_and_the_recipe_and_the_default_one_neither(picture):
    usual, fast, best = (
        build_extractor(max_keypoints=20, effort=word) for word in ("default", "fast", "best")
    )
    assert build_extractor(max_keypoints=20).recipe() == usual.recipe()
    assert "effort" not in json.dumps(usual.recipe())
    recipes = [json.dumps(each.recipe()["descriptor"]) for each in (usual, fast, best)]
    assert len(set(recipes)) == 3
    shape = usual.extract(picture, "a").descriptors.shape
    for other in (fast, best):
        assert other.recipe()["detector"] == usual.recipe()["detector"]
        assert other.extract(picture, "a").descriptors.shape == shape
    with pytest.raises(InputError, match=r"has no reading 'upright', .*; or leave --effort out"):
        build_extractor(effort="fast", reading="upright")
    with pytest.raises(InputError, match=r"effort is 'fast', but .* has only its default one"):
        FakeBackend().at_effort("fast")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"descriptor": "orb"}, "descriptor is 'orb', expected one of dift, rootsift"),
        ({"detector": "fast"}, "detector is 'fast', expected one of sift"),
        ({"detector": "a/b"}, "expected superpoint:a/b for a folder or hub id"),
        ({"descriptor": "superpoint"}, "needs --detector superpoint, got 'sift'"),
        ({"descriptor": "rootsift", "detector": "superpoint"}, "needs --detector sift"),
        ({"descriptor": "dift+rootsift", "detector": "listed:x"}, "needs --detector sift"),
        ({"descriptor": "aliked"}, "needs --detector aliked, got 'sift'"),
        ({"descriptor": "dift+disk", "detector": "aliked"}, "needs --detector disk"),
        ({"upright": True, "detector": "aliked"}, "no angle that it could set aside"),
        ({"upright": True, "detector": "colmap:x.db"}, "no angle that it could set aside"),
        ({"straighten": "roll", "detector": "listed:x"}, "are looked up; leave it out"),
        ({"straighten": "yes"}, "straighten is 'yes', expected one of auto, off, roll, zoom"),
        ({"max_keypoints": 0}, "max_keypoints is 0, expected at least 1"),
        ({"size": 15}, "size is 15, expected at least 16"),
        ({"max_batch": 0}, "max_batch is 0, expected at least 1"),
        ({"precision": "float8"}, "precision is 'float8', expected one of auto"),
        ({"reading": "sparse"}, "reading is 'sparse', expected one of dense, oriented, upright"),
        ({"mode": "paper"}, "mode 'paper' with backend 'tiny'"),
        ({"mode": "paper", "backend": "adm", "reading": "oriented"}, "and the dense reading"),
        (
            {"reading": "oriented", "detector": "listed:folder"},
            "which listed does not give; use --reading dense or upright, or --detector sift",
        ),
        (
            {"descriptor": "rootsift", "reading": "dense"},
            "reading is set, but descriptor 'rootsift'",
        ),
        ({"descriptor": "rootsift", "projection": "x"}, "leave projection out"),
        ({"descriptor": "rootsift", "mode": "paper"}, "leave mode out"),
        ({"config": DiftConfig(), "reading": "dense"}, "config and reading are set"),
        ({"config": DiftConfig(), "max_batch": 3}, "config and max_batch are set"),
        ({"config": DiftConfig(), "effort": "fast"}, "config and effort are set"),
        ({"descriptor": "rootsift", "effort": "fast"}, "leave effort out"),
        ({"effort": "quick"}, "effort is 'quick', expected one of fast, default, best"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_any_work(words, message):
    with pytest.raises(InputError, match=message):
        ExtractorOptions(**words)


def test_what_only_the_model_knows_is_refused_before_any_image(tmp_path):
    (tmp_path / "s-1.kp").write_text("1 2\n")
    with pytest.raises(InputError, match="which listed does not give; use --reading dense"):
        build_extractor(detector=f"listed:{tmp_path}")  # tiny reads patches by default
    with pytest.raises(InputError, match="unknown backend 'sd9'"):
        build_extractor(backend="sd9")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        build_extractor(backend="sd9", projection=tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="a projection is fitted for DIFT"):
        ExtractorOptions(descriptor="rootsift").build_raw()


def test_flags_and_words_are_made_of_the_fields():
    parser = argparse.ArgumentParser()
    add_flags(parser, ExtractorOptions)
    flags = vars(parser.parse_args(["--size", "none", "--descriptor", "rootsift", "--seed", "4"]))
    taken = take_flags(ExtractorOptions, flags)
    assert taken == ExtractorOptions(size=None, descriptor="rootsift", seed=4)
    assert not flags
    words = from_words(ExtractorOptions, {"max-keypoints": "9", "detector": "superpoint:a:b"})
    assert ExtractorOptions(**words, reading="dense").max_keypoints == 9
    assert option_names(ExtractorOptions) == [
        *("backend", "detector", "descriptor", "reading", "max_keypoints", "contrast"),
        *("spread", "upright", "straighten", "size", "projection"),
        *("mode", "effort", "precision", "max_batch", "seed", "device"),
    ]
    help_text = parser.format_help()
    for word in (*DESCRIPTORS, "colmap:DATABASE", "listed:FOLDER", "dense,oriented,upright"):
        assert word in help_text


def _extract(options: ExtractorOptions, image: np.ndarray) -> np.ndarray:
    return options.build().extract(image, "x").descriptors


def test_options_build_the_same_extractor_in_another_process(picture):
    options = ExtractorOptions(max_keypoints=20, reading="dense", size=160)
    assert pickle.loads(pickle.dumps(options)) == options
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(_extract, options, picture).result()
    np.testing.assert_allclose(there, _extract(options, picture), atol=1e-5)


def test_recipes_tell_what_differs(picture):
    recipe = build_extractor(descriptor="rootsift", size=300).recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["size"] == 300
    assert recipe["detector"]["name"] == "sift"
    assert recipe["descriptor"]["name"] == "rootsift"
    assert recipe["versions"]["torch"] == torch.__version__
    assert build_extractor(descriptor="rootsift", size=299).recipe() != recipe


def test_parts_of_ones_own_make_an_extractor(picture):
    from dift_geo.detectors.sift import RootSift, Sift

    by_hand = Extractor(Sift(30), RootSift(), 200)
    by_words = build_extractor(descriptor="rootsift", max_keypoints=30, size=200)
    for name in (None, "x"):
        np.testing.assert_array_equal(
            by_hand.extract(picture, name).descriptors, by_words.extract(picture).descriptors
        )


def test_bench_against_superpoint_and_rootsift_runs(capsys, tmp_path):
    path = Path(ROOT, "pipelines", "bench", "extract.py")
    spec = importlib.util.spec_from_file_location("bench_extract", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    usual = ["--keypoints", "50", "--repeats", "1", "--threads", str(torch.get_num_threads())]
    module.main(usual)
    record = json.loads(capsys.readouterr().out)
    assert record["keypoints"] == 50
    assert record["seconds"]["superpoint forward"] > 0
    efforts = {f"dift {effort}" for effort in ("fast", "default", "best")}
    assert set(record["cpu seconds"]) == {"rootsift", "superpoint forward", *efforts}
    photo = tmp_path / "photo.png"
    write_image(photo, textured((200, 150)))
    module.main([*usual, "--photo", str(photo), "--without-superpoint"])
    record = json.loads(capsys.readouterr().out)
    least, median = record["cpu seconds"]["dift fast"]
    assert 0 < least <= median
    assert record["dift fast / rootsift"] == pytest.approx(
        least / record["cpu seconds"]["rootsift"][0], rel=0.05
    )


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ({}, "fast"),
        ({"descriptor": "dift"}, "fast"),
        ({"reading": "oriented", "mode": "default"}, "fast"),
        ({"effort": "best"}, "best"),
        ({"effort": "default"}, "default"),
        ({"descriptor": "rootsift"}, "default"),
        ({"backend": "sd2.1"}, "default"),
        ({"reading": "dense"}, "default"),
        ({"projection": "mine.safetensors"}, "default"),
        ({"detector": "tiny"}, "default"),
        ({"detector": "aliked"}, "default"),
    ],
)
def test_models_take_little_effort_where_there_is_one(asked, effort):
    assert ExtractorOptions.for_models(**asked).effort == effort
    assert ExtractorOptions(**asked).effort == asked.get("effort", "default")
