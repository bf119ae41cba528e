"""The short programs, run as a user runs them: two photos matched, one folder mapped twice."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

from dift_geo.images import read_image, write_image


def test_match_pair_draws_what_fits(pipeline_module, tmp_path, texture, capsys):
    whole = texture((300, 240), 3)
    write_image(tmp_path / "a.png", whole[:200, :260])
    write_image(tmp_path / "b.png", whole[10:210, 20:280])
    write_image(tmp_path / "grey.png", whole[:200, :260] * 0 + 90)
    a, b, grey, picture = (str(tmp_path / f"{name}.png") for name in ("a", "b", "grey", "drawn"))
    program = pipeline_module("match_pair")
    program.main([a, b, picture, "--descriptor", "rootsift", "--max-keypoints", "200"])
    printed = capsys.readouterr().out
    assert "fit one homography" in printed
    assert printed.endswith(f"-> {picture}\n")
    assert read_image(picture).shape == (200, 520, 3)
    program.main([a, grey, picture, "--descriptor", "rootsift"])
    assert capsys.readouterr().out == f"0 matches, no homography -> {picture}\n"


def test_one_row_a_descriptor(pipeline_module, tmp_path, capsys):
    pytest.importorskip("skimage", reason="scikit-image carries the photographs")
    images = tmp_path / "images"
    pipeline_module("rendered_scene").write_scene(images, views=3, size_wh=(320, 240))
    words = [str(images), str(tmp_path / "out"), "--camera-mode", "single"]
    small = ["--max-keypoints", "400", "--descriptors", "rootsift", "dift"]
    pipeline_module("sfm").main([*words, *small])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["descriptor", "registered"]
    assert [row.split()[:2] for row in rows] == [["rootsift", "3/3"], ["dift", "3/3"]]


def test_a_descriptor_without_a_model_has_a_row_as_well(pipeline_module, tmp_path, texture, capsys):
    for i in range(2):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_image(tmp_path / "images" / f"{i}.png", texture((200, 160), i))
    words = [str(tmp_path / "images"), str(tmp_path / "out"), "--descriptors", "rootsift"]
    pipeline_module("sfm").main([*words, "--max-keypoints", "30"])
    assert "no model: COLMAP found no model: 2 images" in capsys.readouterr().out


def test_ways_to_choose_pairs_are_scored(pipeline_module, tmp_path, capsys):
    pytest.importorskip("skimage", reason="scikit-image carries the photographs")
    scene = tmp_path / "scene"
    pipeline_module("rendered_scene").write_scene(scene / "images", views=3, size_wh=(320, 240))
    program = pipeline_module("bench/retrieval")
    names = sorted(path.name for path in (scene / "images").glob("*.png"))
    truth = {a: {b: 40 if a != b else 0 for b in names if b != a} for a in names}
    truth[names[0]][names[2]] = truth[names[2]][names[0]] = 3
    lists = {names[0]: [names[2], names[1]], names[1]: [names[0], names[2]], names[2]: []}
    assert program.recall(truth, lists, 1) == pytest.approx(1 / 3)
    assert program.recall(truth, lists, 2) == pytest.approx(2 / 3)
    R = "1 0 0 0 0 1 0 0 0 0 1 0"
    lines = [f"{name} 320 240 300 300 160 120 {R[:6]}{i} {R[8:]}" for i, name in enumerate(names)]
    (scene / "cameras_gt.txt").write_text("\n".join(lines))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scene-truth.json").write_text(json.dumps(truth))
    words = ["--descriptor", "rootsift", "--size", "320", "--max-keypoints", "200"]
    program.main([str(tmp_path / "out"), str(scene), *words])
    row = json.loads(capsys.readouterr().out)
    assert row["true neighbours"] == pytest.approx(4 / 3)
    assert row["recall@10"] == dict.fromkeys(("random", "sequential", "vocabulary", "retrieval"), 1)


def test_many_pairs_are_timed_against_few(pipeline_module, monkeypatch, capsys):
    program = pipeline_module("bench/scale")
    monkeypatch.setattr(program, "match_apart", program.match_here)  # a process takes seconds
    program.main(["--images", "6", "--pairs", "9", "--few", "3", "--points", "8", "--dim", "8"])
    rows = json.loads(capsys.readouterr().out.splitlines()[0])
    assert [rows[name]["pairs"] for name in ("few", "many", "again")] == [3, 9, 9]
    assert rows["again"]["bytes_a_pair"] == rows["many"]["bytes_a_pair"]
    assert len({*program.pairs_ahead(6, 9)}) == 9


def test_matching_is_timed_against_the_products(pipeline_module, capsys):
    words = ["--images", "3", "--points", "40", "--dims", "16", "--repeats", "1"]
    pipeline_module("bench/match").main([*words, "--without-hloc"])
    row = json.loads(capsys.readouterr().out)
    assert (row["pairs"], row["points"], row["dim"]) == (3, 40, 16)
    assert set(row["cpu_seconds"]) == {"ours", "products", "quicker products"}


def test_combinations_are_timed_each_in_a_process_of_its_own(pipeline_module, capsys, monkeypatch):
    pytest.importorskip("skimage", reason="scikit-image carries the photograph")
    monkeypatch.syspath_prepend(ROOT / "pipelines" / "bench")
    words = ["rootsift:descriptor=rootsift", "--repeats", "1", "--keypoints", "50"]
    pipeline_module("bench/combinations").main(words)
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.split("|")[1:3] == [" combination ", " keypoints "]
    name, keypoints, detect, whole, memory = (cell.strip() for cell in row.split("|")[1:-1])
    assert (name, keypoints) == ("rootsift", "50")
    assert 0 < float(detect) < float(whole)
    assert float(memory) >= 0
