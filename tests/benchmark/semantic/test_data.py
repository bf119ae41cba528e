"""The layouts of semantic benchmarks, and what is refused of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dift_geo.benchmark.semantic.data import read_cub, read_pf_willow, read_spair
from dift_geo.errors import InputError, MissingFileError, NotAFolderError


def willow(folder, rows):
    names = ["imageA", "imageB", *(f"{a}{i}" for a in ("XA", "YA", "XB", "YB") for i in range(10))]
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    (folder / "test_pairs.csv").write_text("\n".join(lines) + "\n")


def test_pf_willow(tmp_path):
    willow(tmp_path, [["PF-dataset/car(G)/a.png", "PF-dataset/car(G)/b.png", *range(40)]])
    found = read_pf_willow(tmp_path)
    (pair,) = found.pairs
    assert (pair.category, pair.label, pair.box1) == ("car(G)", "a-b", None)
    assert pair.xy0[3].tolist() == [3, 13]
    assert pair.xy1[9].tolist() == [29, 39]
    assert found.said == {"car(G)": "car"}
    assert found.images == ["PF-dataset/car(G)/a.png", "PF-dataset/car(G)/b.png"]
    with pytest.raises(InputError, match=r"no category bus in .*; there are car\(G\)"):
        found.only(["bus"])


def test_damaged_lists_of_pf_willow(tmp_path):
    with pytest.raises(MissingFileError, match="PF-WILLOW"):
        read_pf_willow(tmp_path)
    willow(tmp_path, [["a", "b", *range(39)]])
    with pytest.raises(InputError, match="41 fields in line 2, expected 42"):
        read_pf_willow(tmp_path)
    willow(tmp_path, [["a", "b", *range(39), "nan"]])
    with pytest.raises(InputError, match="line 2 holds a number that is not finite"):
        read_pf_willow(tmp_path)
    with pytest.raises(NotAFolderError):
        read_pf_willow(tmp_path / "nowhere")


def spair(folder, label, **changed):
    annotation = {
        "src_imname": "a.jpg",
        "trg_imname": "b.jpg",
        "src_kps": [[1, 2], [3, 4]],
        "trg_kps": [[5, 6], [7, 8]],
        "trg_bndbox": [1, 2, 31, 22],
        "category": "bus",
        **changed,
    }
    place = folder / "PairAnnotation" / "test"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{label}.json").write_text(json.dumps(annotation))


def test_spair(tmp_path):
    spair(tmp_path, "000002-a-b:bus")
    spair(tmp_path, "000001-c-d:cat", category="cat")
    found = read_spair(tmp_path)
    assert [pair.label for pair in found.pairs] == ["000001-c-d", "000002-a-b"]
    assert found.pairs[1].names == ("JPEGImages/bus/a.jpg", "JPEGImages/bus/b.jpg")
    assert found.pairs[1].box1 == (1, 2, 31, 22)
    assert [pair.category for pair in found.only(["cat"]).pairs] == ["cat"]
    # the official list decides on order and number
    listed = tmp_path / "Layout" / "large" / "test.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("000002-a-b:bus\n000009-x-y:bus\n")
    found = read_spair(tmp_path)
    assert [pair.label for pair in found.pairs] == ["000002-a-b"]
    assert found.problems == ("pair 000009-x-y:bus of test.txt has no annotation",)


def test_damaged_annotations_of_spair(tmp_path):
    with pytest.raises(MissingFileError, match="SPair-71k as published"):
        read_spair(tmp_path)
    spair(tmp_path, "000001-a-b:bus", trg_bndbox=[1, 2, 3])
    with pytest.raises(InputError, match="is no annotation of an SPair-71k pair"):
        read_spair(tmp_path)
    spair(tmp_path, "000001-a-b:bus", trg_kps=[[5, 6]])
    with pytest.raises(InputError, match=r"\(2, 2\) and \(1, 2\)"):
        read_spair(tmp_path)


def test_cub(tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "parts").mkdir()
    (tmp_path / "splits" / "s1.txt").write_text("wren/a.jpg\nwren/b.jpg\n")
    (tmp_path / "images.txt").write_text("1 wren/a.jpg\n2 wren/b.jpg\n")
    (tmp_path / "bounding_boxes.txt").write_text("1 1 2 30 40\n2 10 20 50.0 60.0\n")
    (tmp_path / "parts" / "part_locs.txt").write_text(
        "1 1 5 6 1\n1 2 7 8 1\n1 3 9 9 0\n2 1 15 16 1\n2 2 0 0 0\n2 3 9 9 1\n"
    )
    found = read_cub(tmp_path)
    assert [pair.label for pair in found.pairs] == ["a-b", "b-a"]
    pair = found.pairs[0]
    assert pair.names == ("images/wren/a.jpg", "images/wren/b.jpg")
    assert np.array_equal(pair.xy0, [[5, 6]])  # part 2 is hidden in b, part 3 in a
    assert np.array_equal(pair.xy1, [[15, 16]])
    assert pair.box1 == (10, 20, 60, 80)
    assert found.said == {"s1": "bird"}
    (tmp_path / "splits" / "s1.txt").write_text("wren/z.jpg\n")
    with pytest.raises(InputError, match=r"names wren/z\.jpg, which images\.txt does not have"):
        read_cub(tmp_path)
