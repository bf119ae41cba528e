"""The benchmark's recipes, run small on rendered sequences."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from dift_geo.backends.tiny import WEIGHTS
from dift_geo.cli.main import main
from dift_geo.detectors.sift import Sift
from dift_geo.dift.projection import Projection
from dift_geo.geometry.homography import transfer_error_px
from dift_geo.images import read_image
from dift_geo.store.features import FeatureStore
from tests.benchmark.rendered import render
from tests.small_models import stable_diffusion


@pytest.fixture(scope="module")
def small(tmp_path_factory, texture):
    """Two sequences of three images."""
    return render(tmp_path_factory.mktemp("small") / "hp", texture, images=3)


def test_baselines_under_two_protocols(pipeline_module, texture, tmp_path, capsys):
    small = render(tmp_path / "hp", texture, ("v_wall",), images=2)
    photos = tmp_path / "photos"
    render(
        photos,
        lambda size_wh, seed: np.roll(small_texture(size_wh, seed), 5, 0),
        ("v_x",),
        images=2,
    )
    names = ["rootsift", "tiny", "tiny-random"]
    words = [
        str(small),
        str(tmp_path / "out"),
        "--protocols",
        "dift",
        "mma",
        "--methods",
        *names,
        "--max-keypoints",
        "25",
    ]
    words += [
        "--pictures",
        "0",
        "--bootstrap",
        "10",
        "--group",
        "mine=v_wall",
        "--fit-random",
        str(photos),
        "--fit-views",
        "1",
    ]
    pipeline_module("hpatches").main(words)
    for protocol in ("dift", "mma"):
        results = json.loads((tmp_path / "out" / protocol / "results.json").read_text())
        assert list(results["methods"]) == names
        assert results["methods"]["tiny"]["mine"]["pairs"] == 1
    recipe = results["recipe"]["methods"]["tiny-random"]["features"]
    assert "random-0" in json.dumps(recipe)
    assert recipe["descriptor"]["dift"]["projection"] is not None
    text = (tmp_path / "out" / "summary.md").read_text()
    assert "protocol `dift`" in text
    assert "protocol `mma`" in text


def small_texture(size_wh, seed):
    from conftest import textured

    return textured(size_wh, seed + 50)


def test_search_scores_each_setting_and_goes_on_from_what_is_done(
    pipeline_module, tmp_path, capsys
):
    search = pipeline_module("search")
    small = render(tmp_path / "hp", small_texture, ("i_a", "v_b"), images=2)
    photos = render(
        tmp_path / "photos",
        lambda size_wh, seed: np.roll(small_texture(size_wh, seed), 5, 0),
        ("v_x",),
        images=3,
    )
    words = [
        str(photos),
        str(small),
        str(tmp_path / "out"),
        "--sequences",
        "v_b",
        "--max-keypoints",
        "60",
        "--settings",
    ]
    search.main([*words, "raw descriptors", "RootSIFT beside, joined by weight"])
    first = json.loads((tmp_path / "out" / "search.json").read_text())
    assert list(first) == ["RootSIFT", "raw descriptors", "RootSIFT beside, joined by weight"]
    assert list(first["RootSIFT"]["sequences"]) == ["v_b"]
    assert (
        first["RootSIFT beside, joined by weight"]["correct"]
        > first["raw descriptors"]["correct"]
        > 0
    )
    search.main([*words, "raw descriptors", "PCA"])
    both = json.loads((tmp_path / "out" / "search.json").read_text())
    assert both["raw descriptors"] == first["raw descriptors"]
    shutil.copytree(WEIGHTS, tmp_path / "run" / "snapshots" / "8.0")
    search.main([*words, "--curve", str(tmp_path / "run")])
    curve = json.loads((tmp_path / "out" / "search.json").read_text())
    assert list(curve) == [*both, "8 minutes of training"]
    assert f"| PCA | {both['PCA']['mma@3']:.1f} |" in (tmp_path / "out" / "search.md").read_text()


def test_search_trains_a_head_that_starts_as_the_projection_and_learns_what_no_projection_can(
    pipeline_module,
):
    """Two views of a point differ in the signs of their coordinates: only their absolute values
    match.
    """
    search = pipeline_module("search")
    random = np.random.default_rng(0)

    def views(n):
        points = random.normal(size=(n, 4))
        return [
            (points * random.choice([-1, 1], points.shape)).astype(np.float32) / 4 for _ in range(2)
        ]

    def found(rows):
        return np.mean((rows[0] @ rows[1].T).argmax(1) == np.arange(len(rows[0])))

    seen, unseen = views(2000), views(50)
    start = Projection.fit(*seen, dim=4, constant=2.0)
    head = search.Head(start, hidden=64)
    np.testing.assert_allclose(head.apply(seen[0]), start.apply(seen[0]), atol=1e-4)
    head.train(*seen, epochs=40, batch=200)
    rows = [head.apply(each) for each in unseen]
    assert found(rows) > found([start.apply(each) for each in unseen]) + 0.2
    np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1, atol=1e-5)


def test_search_scores_rootsift_as_the_benchmark_does(pipeline_module, tmp_path):
    search = pipeline_module("search")
    small = render(tmp_path / "hp", small_texture, ("v_b",), images=3)
    pairs = search.test_pairs(small, ["v_b"], Sift(80))
    sift = Sift(80)
    row = search.score(
        search.Setting(projection="raw"),
        lambda image, k, name: sift.describe(image, k),
        None,
        pairs,
        sift,
    )
    words = ["evaluate", str(small), str(tmp_path / "out"), "--protocol", "mma"]
    words += ["--descriptor", "rootsift", "--size", "640", "--max-keypoints", "80"]
    assert main(words) == 3  # a sequence of three images is incomplete
    (method,) = json.loads((tmp_path / "out" / "results.json").read_text())["methods"].values()
    assert row["mma@3"] == pytest.approx(100 * method["all"]["mma@3"], abs=0.051)
    assert row["correct"] == pytest.approx(method["all"]["correct@3"], abs=0.051)


def test_a_baseline_without_weights_is_left_out_by_name(pipeline_module, capsys, monkeypatch):
    hpatches = pipeline_module("hpatches")
    monkeypatch.setitem(hpatches.BASELINES, "superpoint", {"detector": "superfluous"})
    methods = hpatches.build_methods(["rootsift", "superpoint"], 40, None, None)
    assert [method.name for method in methods] == ["rootsift"]
    assert "superpoint is left out: " in capsys.readouterr().out


def test_estimator_study(pipeline_module, small, tmp_path, capsys):
    study = pipeline_module("estimators")
    words = [
        str(tmp_path),
        "--dataset",
        str(small),
        "--estimators",
        "magsac",
        "lmeds",
        "--pairs",
        "3",
    ]
    study.main([*words, "--shares", "0.9", "0.3", "--points", "80"])
    settings = json.loads((tmp_path / "estimators.json").read_text())["settings"]
    assert settings["80 points, 90%"]["magsac"]["acc@3"] == 1
    assert settings["80 points, 90%"]["lmeds"]["acc@3"] == 1
    # least median needs more than half inliers
    assert settings["80 points, 30%"]["lmeds"]["acc@5"] == 0
    assert settings["real, all"]["magsac"]["pairs"] == 4
    assert "| real, all | 4 |" in capsys.readouterr().out


def test_synthetic_pairs_have_the_inlier_share_they_say(pipeline_module):
    study = pipeline_module("estimators")
    for frame in study.synthetic_frames(3, 100, 0.4):
        error = transfer_error_px(frame.H_true, frame.xy0, frame.xy1)
        assert 0.38 <= (error < 4).mean() <= 0.45


def test_bench_of_cached_scoring(pipeline_module, small, tmp_path, capsys):
    pipeline_module("bench/evaluate_cached").main(
        [str(small), str(tmp_path), "--pairs", "12", "--max-keypoints", "60"]
    )
    record = json.loads((tmp_path / "evaluate_cached.json").read_text())
    assert record["pairs"] == 12
    assert sum(record["parts"].values()) == pytest.approx(record["seconds"])
    assert record["parts"]["matching"] > 0
    assert "12 pairs in" in capsys.readouterr().out


def test_given_keypoints_described_by_a_stable_diffusion(texture, tmp_path):
    """The released procedure end to end: keypoint files, a latent diffusion model, the paper's
    protocol.
    """
    pytest.importorskip("transformers")
    dataset = render(tmp_path / "hp", texture, ("v_wall",), images=2)
    for k in (1, 2):
        xy = Sift(60).detect(read_image(dataset / "v_wall" / f"{k}.png")).xy
        np.savetxt(tmp_path / f"v_wall-{k}.kp", xy)
    words = [
        "evaluate",
        str(dataset),
        str(tmp_path / "out"),
        "--protocol",
        "dift",
        "--keypoints",
        str(tmp_path),
    ]
    words += [
        "--method",
        f"sd:backend={stable_diffusion(tmp_path / 'sd')}",
        "--pictures",
        "0",
        "--bootstrap",
        "5",
    ]
    assert main(words) == 3  # images 3 to 6 are not there
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["methods"]["sd"]["all"]["matches"] > 4
    assert results["recipe"]["methods"]["sd"]["features"]["detector"]["name"] == "listed"
    store = FeatureStore(results["recipe"]["methods"]["sd"]["stores"][0])
    np.testing.assert_allclose(store["v_wall/2.png"].keypoints.xy, np.unique(xy, axis=0), atol=1e-4)
