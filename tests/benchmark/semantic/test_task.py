"""Keypoint transfer as a task: against DIFT's own script, against counting by hand, and through
the command.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from small_backbones import vit_folders

from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.run import open_keypoints
from dift_geo.benchmark.semantic.data import KeypointPair, KeypointPairs
from dift_geo.benchmark.semantic.methods import MapMethod, Seen
from dift_geo.benchmark.semantic.protocols import PROTOCOLS
from dift_geo.benchmark.semantic.task import KeypointTransfer, carried
from dift_geo.cli.main import main
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.images import write_image
from dift_geo.mapper import MapOptions, Mapper
from dift_geo.matching.transfer import cosine_maps
from dift_geo.testing import FakeBackend

FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "released_spair", ROOT / "pipelines" / "bench" / "released_spair.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["released_spair"] = module
    spec.loader.exec_module(module)
    return module


def test_agrees_with_the_released_script(bench, tmp_path):
    """What eval_spair.py of DIFT printed for the same pairs and features, and the pixels that it
    found, frozen.
    """
    frozen = json.loads((FIXTURES / "released_spair.json").read_text())
    made = bench.Made(**frozen["made"])
    made.write(tmp_path)
    found = bench.ours(tmp_path, made)
    assert found.keys() == frozen["pck"].keys()
    for name, value in frozen["pck"].items():
        assert found[name] == pytest.approx(value, abs=6e-5), name  # printed with two digits
    assert_same_places(bench, tmp_path, made, frozen["pixels"])


def assert_same_places(bench, folder, features, frozen):
    """The pixels themselves, or others that are as similar to the keypoint: beyond the outermost
    centres of cells a map repeats, and rounding decides between equals.
    """
    found, seen = bench.our_pixels(folder, features), bench.Source(folder, features)
    assert found.keys() == frozen.keys()
    for item in open_keypoints(folder, "spair71k").items():
        own, theirs = (np.array(each[item.label]) for each in (found, frozen))
        source, target = (seen[name] for name in item.names)
        rows = source.map.sample(torch.from_numpy(item.xy0).float())
        cosines = cosine_maps(rows, target.map.values, target.size_wh).numpy()
        index = np.arange(len(rows))
        there = cosines[index, theirs[:, 1], theirs[:, 0]]
        best = cosines[index, own[:, 1], own[:, 0]]
        assert np.abs(best - there).max() < 1e-5, item.label
        assert np.abs(own - theirs).max() <= 1, item.label


@pytest.mark.parametrize("kind", ["tiny", "dino"])
def test_agrees_with_the_released_script_on_photos(bench, data, tmp_path, kind):
    """The same of six pairs of SPair-71k, by the maps of the shipped model and of a small DINO."""
    folder = data / "semantic" / "SPair-71k"
    frozen = json.loads((FIXTURES / "released_spair_photos.json").read_text())[kind]
    word = kind if kind == "tiny" else f"dino:{vit_folders(tmp_path) / kind}"
    maps = bench.Photographed.by(MapOptions(backend=word), folder, tmp_path / "maps")
    found = bench.ours(folder, maps)
    assert found.keys() == frozen["pck"].keys()
    for name, value in frozen["pck"].items():
        assert found[name] == pytest.approx(value, abs=6e-5), name
    assert_same_places(bench, folder, maps, frozen["pixels"])


def pairs(tmp_path, count=3):
    """Keypoints of one picture in copies that are shifted by whole cells."""
    random = np.random.default_rng(0)
    big = random.integers(0, 256, (64, 88, 3)).astype(np.uint8)
    made = []
    for i in range(count):
        for name, left in ((f"a{i}.png", 0), (f"b{i}.png", 8 * (i + 1))):
            write_image(tmp_path / name, big[:, left : left + 56])
        xy = random.uniform((34, 8), (50, 56), (4 + i, 2)).round()
        moved = xy - (8 * (i + 1), 0)
        made.append(
            KeypointPair((f"a{i}.png", f"b{i}.png"), f"k{i % 2}", str(i), xy, moved, (0, 0, 40, 20))
        )
    return KeypointPairs(tmp_path, "made", tuple(made), {"k0": "one", "k1": "two"})


def fake():
    backend = FakeBackend()
    return Mapper(((backend, backend.task_config("semantic")),))


def test_shifted_pictures_are_found_and_still_ones_are_not(tmp_path):
    task = KeypointTransfer(pairs(tmp_path), replace(PROTOCOLS["spair71k"], quoted={}))
    methods = [MapMethod("still", Mapper(())), MapMethod("fake", fake(), task.prompts())]
    found = evaluate_task(task, tmp_path / "out", methods, draws=10, pictures=1)
    numbers = {name: table.summary() for name, table in found.tables.items()}
    assert numbers["fake"]["pck@0.1/point"] == 1
    # nothing moves: the first pair is 8 pixels away, 0.2 of the longer side of the box
    assert numbers["still"]["pck@0.15/point"] == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["recipe"]["methods"]["fake"]["prompts"] == [
        "a photo of a one",
        "a photo of a two",
    ]
    assert list(results["groups"]) == ["all", "k0", "k1"]
    assert results["methods"]["fake"]["intervals"]["k0"]["pck@0.05/category"] is not None
    assert (tmp_path / "out" / "pictures" / "fake").is_dir()


def test_maps_are_made_once_and_damaged_ones_again(tmp_path):
    data = pairs(tmp_path, 1)
    task = KeypointTransfer(data, PROTOCOLS["spair71k"])
    mapper = fake()
    (backend, _), *_ = mapper.parts
    first = MapMethod("m", mapper).prepare(task.photos, tmp_path / "c", "cpu").features["a0.png"]
    assert backend.images_seen == 2
    MapMethod("m", mapper).prepare(task.photos, tmp_path / "c", "cpu")
    assert backend.images_seen == 2
    for file in (tmp_path / "c").rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    again = MapMethod("m", mapper).prepare(task.photos, tmp_path / "c", "cpu").features["a0.png"]
    assert backend.images_seen == 4
    assert torch.equal(first.map.values, again.map.values)
    (tmp_path / "b0.png").unlink()
    prepared = MapMethod("m", mapper).prepare(task.photos, tmp_path / "c", "cpu")
    assert prepared.missing == {"b0.png": "cannot be read"}


def test_thresholds_are_shares_of_what_the_protocol_says(tmp_path):
    data = pairs(tmp_path, 1)
    (pair,) = data.pairs
    seen = {name: Seen((56, 64), None) for name in pair.names}
    for over, side in (("box", 40), ("image", 64), ("keypoints", np.ptp(pair.xy1, 0).max())):
        task = KeypointTransfer(data, replace(PROTOCOLS["spair71k"], over=over))
        assert task.side_px(pair, (56, 64)) == side
        row = task.score(pair, seen, {})
        assert row.values["right@0.15"] == 4 * (0.15 * side >= 8)
    without = KeypointTransfer(KeypointPairs(tmp_path, "", (), {}), PROTOCOLS["spair71k"])
    assert "has no box" in without.obstacle(replace(pair, box1=None), seen)
    assert "no keypoint" in without.obstacle(
        replace(pair, xy0=pair.xy0[:0], xy1=pair.xy1[:0]), seen
    )
    assert "no extent" in without.obstacle(replace(pair, box1=(3, 3, 3, 3)), seen)


def test_points_stay_at_their_relative_place_where_nothing_was_looked_at():
    found = carried(np.array([[10.0, 20.0]]), Seen((100, 50), None), Seen((200, 25), None))
    assert found.tolist() == [[20, 10]]
    seen = Seen((8, 8), FeatureMap(torch.eye(16).reshape(16, 4, 4), (8, 8)))
    assert carried(np.zeros((0, 2)), seen, seen).shape == (0, 2)


def test_the_floor_of_pf_willow_is_known(data):
    task = open_keypoints(data / "semantic" / "PF-WILLOW", "pf-willow")
    sizes = MapMethod("still", Mapper(())).prepare(task.photos, data, "cpu").features
    counts = np.zeros(3)
    for item in task.items():
        row = task.score(item, sizes, {})
        counts += [row.values[f"right@{alpha}"] for alpha in (0.05, 0.1, 0.15)]
    assert len(task.items()) == 900
    assert (100 * counts / 9000).round(1).tolist() == [12.2, 27.0, 41.7]


def test_the_command(tmp_path, bench, capsys):
    bench.Made(pairs=1).write(tmp_path / "spair")
    words = [str(tmp_path / "spair"), str(tmp_path / "out"), "--protocol", "spair71k"]
    rows = ["--method", "still:backend=still", "--method", "small:side=64"]
    quick = ["--bootstrap", "5", "--pictures", "0", "--categories", "cat", "bus"]
    assert main(["evaluate", *words, *rows, *quick]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["pairs"], list(results["methods"])) == (2, ["still", "small"])
    config = results["recipe"]["methods"]["small"]["maps"][0]["config"]
    assert config["reading"]["network_wh"] == [64, 64]
    assert "*quoted:* DIFT_sd" in capsys.readouterr().out
    for flags, says in (
        (["--detector", "disk"], "--detector has nothing to act"),
        (["--frames", "0"], "nothing that --frames could act on"),
        (["--pairs-per-scene", "3"], "--pairs-per-scene has nothing to act"),
        (["--threshold-of", "image", "--method", "a:b=c"], "expected flag=value with one of"),
    ):
        assert main(["evaluate", *words, *flags]) == 1
        assert says in capsys.readouterr().err
    assert main(["evaluate", *words[:2], "--radius", "0"]) == 1
    assert "matches keypoints, on which --radius has nothing" in capsys.readouterr().err
    assert main(["evaluate", *words[:2], "--soft-argmax"]) == 1
    assert "matches keypoints, on which --soft-argmax has nothing" in capsys.readouterr().err
