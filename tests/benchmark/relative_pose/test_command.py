"""`dift-geo evaluate --protocol poses`, from pictures to tables."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from dift_geo.benchmark.run import PROTOCOLS, default_keypoints, open_task
from dift_geo.cli.main import main
from dift_geo.errors import InputError
from tests.benchmark.relative_pose.made import cameras_text

QUICK = ["--descriptor", "rootsift", "--max-keypoints", "300", "--bootstrap", "20"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, texture):
    """Two scenes, each a textured wall that cameras look at from the side: every plane induces a
    homography, by which the photos are rendered.
    """
    root = tmp_path_factory.mktemp("scenes")
    for seed, scene in enumerate(("abbey", "bridge")):
        wall = texture((320, 240), seed)
        (root / scene / "images").mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(root / scene / "images" / f"{i}.png"), rendered(wall, i)[..., ::-1])
        own = {f"{i}.png": i for i in range(3)}
        (root / scene / "cameras_gt.txt").write_text(cameras_text(own, K_SMALL, (320, 240)))
    return root


K_SMALL = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])


def rendered(wall: np.ndarray, index: int) -> np.ndarray:
    """The wall z = 0, 4 units wide, in camera `index` of `made`."""
    from tests.benchmark.relative_pose.made import camera

    pose = camera(index)
    place = np.array([[1 / 55, 0, -2.9], [0, 1 / 55, -2.2], [0, 0, 1]])  # pixel of the wall -> x, y
    H = K_SMALL @ np.column_stack([pose[:, 0], pose[:, 1], pose[:, 3]]) @ place
    return cv2.warpPerspective(wall, H, (320, 240), flags=cv2.INTER_LINEAR)


def test_from_pictures_to_tables(scenes, tmp_path, capsys) -> None:
    words = ["evaluate", scenes, tmp_path / "out", "--protocol", "poses", *QUICK, "--pictures", "1"]
    words += ["--method", "s", "--method", "few:max-keypoints=40"]
    assert main([str(word) for word in words]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["protocol"], results["scenes"], results["pairs"]) == ("poses", 2, 6)
    numbers = results["methods"]["s"]["all"]
    for limit in (1, 3, 5, 10, 20):
        assert 0 <= numbers[f"auc@{limit}"] <= 1
    assert numbers["precision@3px"] > 0.7
    assert numbers["matches"] > 40
    assert numbers["failed"] == 0
    assert "# Relative poses, protocol `poses`" in capsys.readouterr().out
    lines = (tmp_path / "out" / "pairs.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 6
    assert lines[0].startswith("method,scene,pair,matches,inliers,correct@3px")
    assert (tmp_path / "out" / "pictures" / "accuracy.png").is_file()
    again = [*words[:5], "--cached", "--pictures", "0", "--estimator", "pycolmap", "--scenes", "a*"]
    assert main([str(word) for word in [*again, "--max-angle", "10"]]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["pairs"] == 2
    assert results["recipe"]["pairs"]["max_angle_deg"] == 10
    assert results["recipe"]["protocol"]["ransac"]["estimator"] == "pycolmap"
    assert results["methods"]["s"]["intervals"]["all"]["auc@5"] is None
    compare = ["compare", tmp_path / "out", "--to", tmp_path / "both"]
    assert main([str(word) for word in compare]) == 0


def test_stores_are_shared_with_other_protocols(scenes, tmp_path) -> None:
    for protocol in ("poses", "imc"):
        words = ["evaluate", scenes, tmp_path / protocol, "--protocol", protocol, *QUICK]
        words += ["--cache", tmp_path / "cache", "--pictures", "0", "--pairs-per-scene", "2"]
        assert main([str(word) for word in words]) == 0
    assert len(list((tmp_path / "cache").rglob("features-*.h5"))) == 1
    results = json.loads((tmp_path / "imc" / "results.json").read_text())
    assert results["pairs"] == 4
    assert "maa@10" in results["methods"]["rootsift"]["all"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "poses", "--estimator", "lmeds"], "expected one of poselib, magsac"),
        (["--protocol", "poses", "--include-large"], "no large sequences"),
        (["--protocol", "poses", "--scenes", "zoo"], "no scene 'zoo'"),
        (["--protocol", "poses", "--max-angle", "0"], "max angle is 0"),
        (["--protocol", "imc", "--pairs", "none.txt"], "no none.txt"),
        (["--protocol", "dift", "--max-angle", "3"], "pairs are chosen under megadepth1500"),
    ],
)
def test_says_in_one_line_what_it_cannot_do(scenes, tmp_path, capsys, words, message) -> None:
    assert main(["evaluate", str(scenes), str(tmp_path / "out"), *words, *QUICK]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_protocols_of_all_tasks() -> None:
    assert (
        *("dift", "gluefactory", "loftr", "mma"),
        *("megadepth1500", "scannet1500", "imc", "poses"),
        *("pf-willow", "spair71k", "cub", "davis2017", "jhmdb"),
    ) == PROTOCOLS
    assert (default_keypoints("poses"), default_keypoints("dift")) == (8192, 1000)
    with pytest.raises(InputError, match="protocol is 'x', expected one of dift"):
        open_task("folder", "x")


def test_the_table_over_settings(scenes, tmp_path, pipeline_module, capsys) -> None:
    words = [scenes, tmp_path, "--ratios", "0.8", "none", "--max-errors", "1", "2"]
    words += ["--max-keypoints", "200", "--pairs-per-scene", "2"]
    pipeline_module("two_view").main([str(word) for word in words])
    results = json.loads((tmp_path / "two_view.json").read_text())["results"]
    assert len(results) == 4
    assert results[3]["setting"] == {
        "descriptor": "rootsift",
        "ratio": None,
        "estimator": "poselib",
        "max_error_px": 2.0,
    }
    assert set(results[0]["scenes"]) == {"abbey", "bridge"}
    table = (tmp_path / "two_view.md").read_text()
    assert "| rootsift, ratio 0.8, poselib 1 px |" in table
    assert "| lowest auc@5 | abbey | bridge |" in table
    assert table in capsys.readouterr().out
    assert len(list((tmp_path / "cache").rglob("features-*.h5"))) == 1
    assert len(list((tmp_path / "cache").rglob("matches-*.h5"))) == 2
