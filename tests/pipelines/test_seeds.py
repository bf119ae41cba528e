"""Models by several seeds, and what is verified within several limits, of a rendered scene."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def scene(pipeline_module, tmp_path_factory) -> Path:
    pytest.importorskip("skimage", reason="scikit-image carries the photographs")
    folder = tmp_path_factory.mktemp("scene")
    truth = pipeline_module("rendered_scene").write_scene(
        folder / "images", views=4, size_wh=(360, 270)
    )
    K = truth.K
    intrinsics = [*truth.size_wh, K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    lines = [
        " ".join(map(str, [name, *intrinsics, *pose.ravel()]))
        for name, pose in truth.cam_from_world.items()
    ]
    (folder / "cameras_gt.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_of_a_right_scene_all_seeds_are_right(pipeline_module, scene, tmp_path, capsys) -> None:
    words = [str(scene), str(tmp_path), "--bag", "3", "--descriptor", "rootsift"]
    pipeline_module("seeds").main([*words, "--max-keypoints", "500", "--seeds", "2"])
    written = json.loads((tmp_path / "seeds.json").read_text())
    assert len(written["photos"]) == 3
    assert {name: len(values) for name, values in written["auc@5"].items()} == {
        "ours": 2,
        "COLMAP's SIFT": 2,
    }
    assert min(written["auc@5"]["ours"]) > 70
    assert "ours: lowest" in capsys.readouterr().out


def test_wider_limits_verify_more_and_less_pure(pipeline_module, scene, tmp_path, capsys) -> None:
    words = [str(scene), str(tmp_path), "--descriptor", "rootsift", "--max-keypoints", "500"]
    limits = ["0.5", "4", "30"]
    pipeline_module("verification").main([*words, "--ratio", "0.95", "--max-errors", *limits])
    rows = json.loads((tmp_path / "verification.json").read_text())
    assert [row["max_error_px"] for row in rows] == [0.5, 4, 30]
    assert rows[0]["matches"] < rows[1]["matches"] < rows[2]["matches"]
    assert rows[0]["purity"] > 0.9
    assert rows[0]["purity"] >= rows[1]["purity"] > rows[2]["purity"]
    assert rows[1]["auc@5"] > 70
    assert "30 px: 6 pairs" in capsys.readouterr().out
