"""Every kind of backbone, small and random but in its real format, through each of the three tasks
and through `extract`: what can be shown without weights.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.io import savemat
from small_backbones import words_of_all

from dift_geo.backends.config import Dense
from dift_geo.backends.loader import load_backend
from dift_geo.backends.tasks import JOINTS, Propagation
from dift_geo.cli.main import main
from dift_geo.images import write_image
from dift_geo.mapper import MapOptions, Mapper
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.video.masks import read_mask, write_mask

loaded = cache(load_backend)  # reading a folder takes longer than what is asked of its model
KINDS = ("sd", "adm", "dino", "dinov2", "clip")
BOTH = "sd+dino"
SIDES = dict.fromkeys((*KINDS, BOTH), 64) | {"dinov2": 56, "clip": 56}  # patches of 14 pixels


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return words_of_all(tmp_path_factory.mktemp("backbones"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("dift_geo.mapper.load_backend", loaded)
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path_factory.getbasetemp() / "dift_geo_cache"))


def as_loaded(word):
    return loaded(word, device="cpu", precision="auto")  # as a mapper asks for it


@pytest.fixture
def run(words, tmp_path, monkeypatch):
    """`evaluate` with a row for each kind and one of two side by side; its results."""
    small = Propagation(short_side=64, radius=3, frames=2)
    monkeypatch.setattr(Mapper, "propagation", lambda self: small)
    monkeypatch.setattr(Mapper, "of_joints", lambda self: replace(JOINTS, short_side=64))

    def evaluate(folder, protocol, sides=False):
        named = {kind: words[kind] for kind in KINDS} | {BOTH: f"{words['sd']}+{words['dino']}"}
        flags = []
        for name, word in named.items():
            extra = f",side={SIDES[name]}" if sides else ""
            flags += ["--method", f"{name}:backend={word}{extra}"]
        out = tmp_path / "out"
        quick = ["--bootstrap", "2", "--pictures", "0"]
        assert (
            main(["evaluate", str(folder), str(out), "--protocol", protocol, *flags, *quick]) == 0
        )
        results = json.loads((out / "results.json").read_text())
        assert list(results["methods"]) == [*KINDS, BOTH]
        return results

    return evaluate


def test_settings_are_those_published(words):
    """eval_spair.py and eval_davis.py with the flags of DIFT's README, and who has none of them."""
    found = {kind: as_loaded(words[kind]).task_config("semantic") for kind in KINDS}
    asked = {
        kind: (own.t, own.layers, own.noise and own.noise.ensemble, own.reading.network_wh)
        for kind, own in found.items()
        if isinstance(own.reading, Dense)
    }
    assert asked == {
        "sd": (261, (1,), 8, (768, 768)),
        "adm": (101, (4,), 8, (512, 512)),
        "dino": (0, (2,), None, (512, 512)),
        "dinov2": (0, (2,), None, (840, 840)),
        "clip": (0, (2,), None, (756, 756)),
    }
    assert found["sd"].noise is not None
    assert found["sd"].noise.posterior
    video = {kind: as_loaded(words[kind]).task_config("video") for kind in ("sd", "adm")}
    assert [(own.t, own.layers, own.noise.ensemble) for own in video.values()] == [
        (51, (2,), 8),
        (51, (7,), 4),
    ]
    carried = as_loaded(words["sd"]).propagation()
    assert (carried.temperature, carried.top_k, carried.frames, carried.radius) == (0.2, 15, 28, 15)


def test_semantic(run, tmp_path, texture):
    """Two categories: models that take text are told of each image what it shows."""
    places = tmp_path / "spair"
    for number, category in enumerate(("cat", "pottedplant")):
        images = places / "JPEGImages" / category
        images.mkdir(parents=True)
        big = texture((90, 80), number)
        write_image(images / "a.jpg", big[:64, :80])
        write_image(images / "b.jpg", big[:64, 8:88])
        annotation = {
            "src_imname": "a.jpg",
            "trg_imname": "b.jpg",
            "src_kps": [[40, 30], [60, 20]],
            "trg_kps": [[32, 30], [52, 20]],
            "category": category,
            "trg_bndbox": [0, 0, 80, 64],
        }
        folder = places / "PairAnnotation" / "test"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}-a-b:{category}.json").write_text(json.dumps(annotation))
    results = run(places, "spair71k", sides=True)
    prompts = ["a photo of a cat", "a photo of a pottedplant"]
    maps = results["recipe"]["methods"][BOTH]
    assert maps["prompts"] == prompts
    assert [own["config"]["reading"]["network_wh"] for own in maps["maps"]] == [[64, 64]] * 2
    for kind in (*KINDS, BOTH):
        assert {"pck@0.1/image", "pck@0.01/point", "pck@0.15/category"} <= results["methods"][kind][
            "all"
        ].keys()


def test_a_prompt_moves_the_models_that_take_text_alone(words, picture):
    for kind in KINDS:
        options = MapOptions(backend=words[kind], side=SIDES[kind], ensemble=0)
        mapper = options.build("semantic")
        plain, told = (
            mapper.map(picture, "a", prompt).values for prompt in ("", "a photo of a cat")
        )
        assert (plain - told).abs().max().item() > 0 if kind == "sd" else (plain == told).all()


def test_two_side_by_side_have_unit_length_each(words, picture):
    both, *single = (
        MapOptions(backend=word, side=64, ensemble=0).build("semantic").map(picture, "a").values
        for word in (f"{words['sd']}+{words['dino']}", words["sd"], words["dino"])
    )
    grids = [tuple(own.shape[1:]) for own in single]
    assert grids == [(4, 4), (8, 8)]
    assert both.shape == (sum(len(own) for own in single), 8, 8)  # on the finer grid
    first, second = both.split([len(own) for own in single])
    for part in (first, second):
        assert np.allclose(part.norm(dim=0), 1, atol=1e-5)
    assert np.allclose(second, single[1] / single[1].norm(dim=0), atol=1e-5)


def test_davis(run, tmp_path, texture):
    folder, big = tmp_path / "DAVIS", texture((140, 64), 1)
    for part in ("JPEGImages", "Annotations"):
        (folder / part / "480p" / "one").mkdir(parents=True)
    (folder / "ImageSets" / "2017").mkdir(parents=True)
    (folder / "ImageSets" / "2017" / "val.txt").write_text("one\n")
    mask = np.zeros((64, 96), np.uint8)
    mask[16:40, 32:64] = 1
    for number in range(3):
        shown = big[:, 8 * number : 8 * number + 96]
        write_image(folder / "JPEGImages" / "480p" / "one" / f"{number:05d}.jpg", shown)
        moved = np.roll(mask, -8 * number, 1)
        write_mask(folder / "Annotations" / "480p" / "one" / f"{number:05d}.png", moved)
    results = run(folder, "davis2017")
    for kind in (*KINDS, BOTH):
        assert 0 <= results["methods"][kind]["all"]["J&F"] <= 1
        (last,) = (tmp_path / "out" / "cache" / kind).rglob("00002.png")
        assert read_mask(last).shape == (64, 96)
        assert set(np.unique(read_mask(last))) == {0, 1}


def test_jhmdb(run, tmp_path, texture):
    folder, big = tmp_path / "JHMDB", texture((100, 64), 1)
    frames = folder / "Rename_Images" / "jump" / "one"
    frames.mkdir(parents=True)
    for number in range(3):
        write_image(frames / f"{number + 1:05d}.png", big[:, 8 * number : 8 * number + 80])
    xy = np.random.default_rng(0).uniform((30, 10), (70, 54), (15, 2))
    xy = xy - np.array([[8, 0]]) * np.arange(3)[:, None, None]
    savemat(folder / "joints.mat", {"pos_img": xy.transpose(2, 1, 0) + 1})
    (folder / "testlist_split1.txt").write_text("Rename_Images/jump/one joints.mat\n")
    results = run(folder, "jhmdb")
    for kind in (*KINDS, BOTH):
        numbers = results["methods"][kind]["all"]
        assert 0 <= numbers["pck@0.1"] <= numbers["pck@0.5"] <= 1
        assert numbers["lost"] == 0


@pytest.mark.parametrize("kind", [*KINDS, "dinov3", "registers"])
def test_extract_and_match(words, tmp_path, picture, kind):
    """By the command line alone. A photo beside its copy: whatever the weights, a keypoint is most
    like itself.
    """
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "photos" / name, picture[:128, :160])
    features, pairs, matches = (tmp_path / name for name in ("f.h5", "pairs.txt", "m.h5"))
    flags = ["--backend", words[kind], "--max-keypoints", "30", "--size", "160"]
    assert main(["extract", str(tmp_path / "photos"), str(features), *flags]) == 0
    found = FeatureStore(features)["a.png"]
    assert len(found) == 30
    assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=2e-3)
    pairs.write_text("a.png b.png\n")
    assert main(["match", str(features), str(pairs), str(matches), "--ratio", "1"]) == 0
    index = MatchStore(matches)["a.png", "b.png"].pairs
    assert len(index) > 20
    assert np.array_equal(index[:, 0], index[:, 1])
