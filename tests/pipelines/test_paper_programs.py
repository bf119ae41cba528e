"""The programs about the paper's other tasks: three tasks in one table, and the comparisons with
released scripts.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from small_backbones import vit_folders

from dift_geo.backends.loader import load_backend
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


def released_state(kind):
    """Names and shapes of a released network, whose code is not ours to ship."""
    wide = (64, 64)
    inside = {
        "dino": {"norm1": (64,), "norm2": (64,), "attn.qkv": (192, 64), "attn.proj": wide}
        | {"mlp.fc1": (256, 64), "mlp.fc2": (64, 256)},
        "clip": {"ln_1": (64,), "ln_2": (64,), "attn.in_proj_": (192, 64)}
        | {"attn.out_proj": wide, "mlp.c_fc": (256, 64), "mlp.c_proj": (64, 256)},
    }[kind]
    outside, blocks = {
        "dino": ({"patch_embed.proj": (64, 3, 8, 8), "norm": (64,)}, "blocks"),
        "clip": ({"ln_pre": (64,), "ln_post": (64,)}, "transformer.resblocks"),
    }[kind]
    shapes = {f"{blocks}.{i}.{name}": shape for i in range(12) for name, shape in inside.items()}
    found = {
        "dino": {"cls_token": (1, 1, 64), "pos_embed": (1, 785, 64)},
        "clip": {"class_embedding": (64,), "positional_embedding": (257, 64)}
        | {"conv1.weight": (64, 3, 14, 14)},
    }[kind]
    for name, shape in (outside | shapes).items():
        dot = "" if name.endswith("_") else "."
        found |= {f"{name}{dot}weight": shape, f"{name}{dot}bias": shape[:1]}
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=random) for name, shape in found.items()}


@pytest.mark.parametrize("kind", ["dino", "clip"])
def test_released_weights_under_their_published_names(pipeline_module, tmp_path, kind):
    """All of them find their place: one that did not would be missing, which is an error."""
    program = pipeline_module("bench/released_features")
    state = released_state(kind)
    word = getattr(program, f"{kind}_folder")(tmp_path / kind, state)
    loaded = load_backend(word).model.state_dict()
    name = {"dino": "attn.qkv", "clip": "attn.in_proj_"}[kind]
    (whole,) = (value for key, value in state.items() if f".7.{name}" in key and key[-1] == "t")
    keys = [own for key, own in loaded.items() if ".7." in key and "k" in key.split(".")[-2]]
    assert any(torch.equal(own, whole[64:128]) for own in keys if own.shape == (64, 64))


def test_how_far_maps_are_apart(pipeline_module):
    program = pipeline_module("bench/released_features")
    values = torch.tensor([[[1.0, -1.0]], [[1.0, -1.0]]])
    said = "largest difference {} of the deviation, smallest cosine {}"
    assert program.apart(values, values) == said.format("0.0e+00", "1.000000")
    other = torch.tensor([[[1.0, -1.0]], [[1.0, 0.0]]])
    assert program.apart(other, values) == said.format("8.7e-01", "0.707107")
    large = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert program.fitted_to_size(large, (1.6, 2.1), mode="bicubic").shape == (1, 1, 6, 8)


def test_edits_between_photos(pipeline_module, tmp_path, capsys):
    program = pipeline_module("bench/edits")
    pipeline_module("bench/released_spair").Made(pairs=1).write(tmp_path / "spair")
    assert program.main([str(tmp_path / "spair"), "--protocol", "spair71k", "--pairs", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    edits, refused, doubtful = (int(word) for word in re.findall(r"\d+", first))
    agreeing = [float(word) for word in second.partition(": ")[2].split()]
    assert (edits, refused + len(agreeing)) == (2, 2)  # blank photos: whatever chance gives
    assert doubtful == sum(share < 0.5 for share in agreeing)
    layer = program.middle(np.array([[10.0, 20], [30, 30]]), (40, 36))
    rows, columns = np.nonzero(layer[:, :, 3])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (23, 27, 16, 24)
