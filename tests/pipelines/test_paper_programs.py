"""The programs about the paper's other tasks: three tasks in one table, and the comparison with the
released script for videos.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_backbones import vit_folders

from dift_geo.backends.tasks import Propagation
from dift_geo.images import write_image
from dift_geo.mapper import Mapper
from dift_geo.video.masks import read_mask, write_mask
from tests.benchmark.rendered import render


@pytest.fixture
def davis(tmp_path, texture):
    """A block over a picture that moves, in DAVIS' layout."""
    folder, big = tmp_path / "DAVIS", texture((140, 64), 1)
    for number in range(3):
        for part in ("JPEGImages", "Annotations"):
            (folder / part / "480p" / "one").mkdir(parents=True, exist_ok=True)
        shown = big[:, 8 * number : 8 * number + 96]
        write_image(folder / "JPEGImages" / "480p" / "one" / f"{number:05d}.jpg", shown)
        mask = np.zeros((64, 96), np.uint8)
        mask[16:40, 32 - 8 * number : 64 - 8 * number] = 1
        write_mask(folder / "Annotations" / "480p" / "one" / f"{number:05d}.png", mask)
    (folder / "ImageSets" / "2017").mkdir(parents=True)
    (folder / "ImageSets" / "2017" / "val.txt").write_text("one\n")
    return folder


def test_three_tasks(pipeline_module, davis, tmp_path, texture, monkeypatch, capsys):
    small = Propagation(short_side=64, radius=4, frames=2)
    monkeypatch.setattr(Mapper, "propagation", lambda self: small)
    planar = render(tmp_path / "hp", texture, ("v_wall",), images=2)
    pipeline_module("bench/released_spair").Made(pairs=1).write(tmp_path / "spair")
    dino = f"dino:{vit_folders(tmp_path) / 'dino'}"
    program = pipeline_module("three_tasks")
    words = [str(tmp_path / "out"), "--side", "64", "--max-keypoints", "40", "--bootstrap", "2"]
    words += ["--backends", "still", "tiny", dino, f"tiny+{dino}", "dino:/nowhere/gone"]
    data = ["--semantic", str(tmp_path / "spair"), "--video", str(davis), "--categories", "cat"]
    program.main([*words, *data, "--planar", str(planar)])
    printed = capsys.readouterr().out
    assert "video: dino:/nowhere/gone is left out" in printed
    found = json.loads((tmp_path / "out" / "three_tasks.json").read_text())["numbers"]
    rows = {task: list(numbers) for task, numbers in found.items()}
    four = ["still", "tiny", "dino-dino", "tiny+dino-dino"]
    assert rows == {"geometry": ["tiny", "dino-dino"], "semantic": four, "video": four}
    assert found["video"]["tiny"] > found["video"]["still"]
    table = (tmp_path / "out" / "three_tasks.md").read_text().splitlines()
    assert table[0].endswith("masks, J&F (1 objects) |")
    assert table[2].startswith("| `still` |  | ")
    assert [line.split("`")[1] for line in table[2:]] == [*four, "dino-gone"]
    # what is done is done
    program.main([*words[:5], "--backends", "tiny", "--bootstrap", "2", "--video", str(davis)])
    with pytest.raises(SystemExit, match="nothing was scored; give --planar"):
        program.main([str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="expected different names"):
        program.main([str(tmp_path / "none"), "--backends", "tiny", "tiny"])


def test_our_side_of_the_comparison_for_videos(pipeline_module, tmp_path, capsys):
    """The released side needs its repository; tests/matching holds that both give the same."""
    program = pipeline_module("bench/released_davis")
    words = ["--images=3", "--frames=1", f"--folder={tmp_path}"]
    assert program.main(["no-clone", "--side=ours", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0
    assert program.main(["no-clone", "--side=step", "--frames=2"]) == 0
    assert json.loads(capsys.readouterr().out)["peak_mib"] > 0
    masks = [read_mask(file) for file in sorted((tmp_path / "masks" / "made").glob("*.png"))]
    assert len(masks) == 3
    # the scene moves to the left by a cell of eight pixels a frame
    moved = np.roll(masks[0], -16, 1)
    assert (masks[2] == moved)[:, :-24].mean() > 0.9
