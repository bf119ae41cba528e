"""Photos placed on a map of others by the program, from rendered photos whose cameras are known."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from dift_geo.images import write_image

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "localize.py"


@pytest.fixture(scope="module")
def photographed(pipeline_module, tmp_path_factory):
    """Five rendered photos and the file of their cameras: the folder of both."""
    folder = tmp_path_factory.mktemp("photographed")
    truth = pipeline_module("rendered_scene").write_scene(
        folder / "images", views=5, size_wh=(480, 360)
    )
    K = truth.K
    intrinsics = [*truth.size_wh, K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    lines = [
        " ".join(map(str, [name, *intrinsics, *pose.ravel()]))
        for name, pose in truth.cam_from_world.items()
    ]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_pipeline_on_rendered_photos(photographed, tmp_path, monkeypatch, capsys):
    common = [
        str(photographed / "images"),
        str(tmp_path / "out"),
        "--cameras",
        str(photographed / "cameras.txt"),
    ]
    flags = ["--descriptors", "rootsift", "--max-keypoints", "600"]
    pipeline = runpy.run_path(str(PIPELINE))
    pipeline["main"]([*common, *flags, "--leave-out", "2"])
    assert "20/20" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "localization.json").read_text())["rootsift"]
    assert report["median"]["position"] < 0.05  # cameras stand 7 from the boxes
    assert report["median"]["rotation_deg"] < 0.3
    assert {record["query"] for record in report["queries"]} == {f"view_{i}.png" for i in range(5)}
    monkeypatch.setattr(sys, "argv", ["localize.py", *common, *flags, "--queries", "view_2.png"])
    runpy.run_path(str(PIPELINE), run_name="__main__")
    (record,) = json.loads((tmp_path / "out" / "localization.json").read_text())["rootsift"][
        "queries"
    ]
    assert record["left_out"] == ["view_2.png"]
    with pytest.raises(SystemExit):
        pipeline["main"]([*common, "--queries", "nowhere.png"])


def test_dift_places_a_rendered_photo(photographed, tmp_path):
    lines = (photographed / "cameras.txt").read_text().splitlines()
    (tmp_path / "cameras.txt").write_text("\n".join(lines[1:4]) + "\n")
    common = [
        str(photographed / "images"),
        str(tmp_path / "out"),
        "--cameras",
        str(tmp_path / "cameras.txt"),
    ]
    main = runpy.run_path(str(PIPELINE))["main"]
    main([*common, "--max-keypoints", "200", "--queries", "view_2.png"])
    (record,) = json.loads((tmp_path / "out" / "localization.json").read_text())["dift"]["queries"]
    assert record["position"] < 0.3
    assert record["rotation_deg"] < 3
    with pytest.raises(ValueError, match="0 photo of known pose"):
        main(
            [*common, "--max-keypoints", "200", "--queries", *(f"view_{i}.png" for i in (1, 2, 3))]
        )


def test_photos_that_share_nothing_are_not_placed_and_told_so(
    photographed, tmp_path, capsys, texture
):
    """Neither a map nor a pose: the report says so in plain JSON, the table with dashes."""
    names = [f"view_{i}.png" for i in range(3)]
    for i, name in enumerate(names):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_image(tmp_path / "images" / name, texture((480, 360), seed=i))
    common = [str(tmp_path / "images"), str(tmp_path / "out")]
    lines = (photographed / "cameras.txt").read_text().splitlines()[:3]
    (tmp_path / "cameras.txt").write_text("\n".join(lines) + "\n")
    flags = ["--descriptors", "rootsift", "--max-keypoints", "50"]
    cameras = ["--cameras", str(tmp_path / "cameras.txt")]
    runpy.run_path(str(PIPELINE))["main"]([*common, *cameras, *flags, "--leave-out", "1"])
    report = json.loads((tmp_path / "out" / "localization.json").read_text())["rootsift"]
    assert (report["placed"], report["of"]) == (0, 3)
    assert report["median"] == {"inliers": None, "position": None, "rotation_deg": None}
    assert capsys.readouterr().out.splitlines()[-1].split() == ["rootsift", "0/3", "-", "-", "-"]
