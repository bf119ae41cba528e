"""Folders in HPatches layout: what is read, and what is said about the rest."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.benchmark.homography.data import (
    LARGE_SEQUENCES,
    by_kind,
    kind_of,
    read_benchmark,
    read_homography,
)
from tests.benchmark.rendered import homography, render


def test_reads_every_pair_of_a_complete_folder(rendered):
    benchmark = read_benchmark(rendered)
    assert benchmark.sequences == ["i_lamp", "v_wall"]
    assert [pair.index for pair in benchmark.pairs] == [2, 3, 4, 5, 6] * 2
    assert benchmark.images[:2] == ["i_lamp/1.png", "i_lamp/2.png"]
    assert len(benchmark.images) == 12
    assert benchmark.problems == ()
    np.testing.assert_allclose(benchmark.pairs[-1].H_1_from_0, homography("v_wall", 6))


@pytest.mark.parametrize("extension", ["ppm", "jpg"])
def test_reads_the_image_formats_of_hpatches(tmp_path, texture, extension):
    benchmark = read_benchmark(render(tmp_path, texture, ("v_a",), 2, extension))
    assert benchmark.pairs[0].name1 == f"v_a/2.{extension}"


def test_names_everything_that_is_missing(tmp_path, texture):
    root = render(tmp_path, texture, ("i_a", "v_b", "v_c", "v_d"), 3)
    (root / "i_a" / "H_1_2").unlink()
    (root / "v_b" / "H_1_3").write_text("1 0 0\n0 1 0\n0 0\n")
    (root / "v_c" / "1.png").unlink()
    benchmark = read_benchmark(root)
    assert [(pair.sequence, pair.index) for pair in benchmark.pairs] == [
        ("i_a", 3),
        ("v_b", 2),
        ("v_d", 2),
        ("v_d", 3),
    ]
    text = "\n".join(benchmark.problems)
    for line in (
        "i_a: H_1_2 is missing; pair 1-2 is left out",
        "v_b: H_1_3 holds 8 numbers, expected 9 finite ones; pair 1-3 is left out",
        "v_c: image 1 is missing, so the sequence is left out",
        "v_d: image 4, 5, 6 are missing, 2 pairs instead of 5",
    ):
        assert line in text


@pytest.mark.parametrize(
    "text", ["", "a b c", "1 0 0 0 1 0 0 0 nan", "0 0 0 0 0 0 0 0 0", "1 2 3 2 4 6 0 0 1"]
)
def test_refuses_a_useless_homography(tmp_path, text):
    (tmp_path / "H_1_2").write_text(text)
    with pytest.raises(ValueError, match="H_1_2"):
        read_homography(tmp_path / "H_1_2")


def test_refuses_a_folder_without_pairs(tmp_path):
    with pytest.raises(NotADirectoryError, match="not a folder"):
        read_benchmark(tmp_path / "none")
    with pytest.raises(ValueError, match="no usable pair"):
        read_benchmark(tmp_path)


def test_chooses_sequences_by_name_and_leaves_out_the_large_ones(tmp_path, texture):
    large = sorted(LARGE_SEQUENCES)[0]
    root = render(tmp_path, texture, ("i_a", "v_b", large), 2)
    assert read_benchmark(root).excluded == (large,)
    assert read_benchmark(root).sequences == ["i_a", "v_b"]
    assert large in read_benchmark(root, include_large=True).sequences
    assert read_benchmark(root, sequences=["v_*"]).sequences == ["v_b"]
    with pytest.raises(ValueError, match="no sequence 'v_z'"):
        read_benchmark(root, sequences=["v_z"])


def test_kinds_of_sequences():
    assert [kind_of(name) for name in ("i_dc", "v_wall", "wall", "vall")] == ["i", "v", None, None]
    assert by_kind(["i_dc", "v_wall", "wall"]) == {"i": ["i_dc"], "v": ["v_wall"]}
