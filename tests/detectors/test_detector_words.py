"""From words to detectors."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_models import aliked_file, disk_file, superpoint_folder

from dift_geo.detectors.framed import Framed
from dift_geo.detectors.listed import Listed
from dift_geo.detectors.loader import DETECTORS, KINDS, Limits, load_detector, split_word
from dift_geo.detectors.sift import Sift


def test_the_limits_reach_the_detector() -> None:
    assert load_detector("sift", Limits(max_keypoints=7)) == Sift(7, max_orientations=2)
    assert load_detector("sift", Limits(max_keypoints=7, once=True)) == Sift(7, max_orientations=1)
    assert load_detector("sift", Limits(max_keypoints=7, upright=True)) == Sift(7, upright=True)


def test_frames_are_given_where_they_are_needed_and_missing(tmp_path: Path) -> None:
    word = f"aliked:{aliked_file(tmp_path)}"
    framed = load_detector(word, Limits(max_keypoints=9, framed=True, upright=True))
    assert isinstance(framed, Framed)
    assert framed.name == "aliked"
    assert framed.recipe()["upright"]
    assert not isinstance(load_detector(word), Framed)
    for own in ("sift", "tiny"):
        assert not isinstance(load_detector(own, Limits(framed=True)), Framed)


def test_what_stands_behind_the_colon_reaches_it_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "s-1.kp").write_text("1 2\n")
    assert load_detector(f"listed:{folder}") == Listed(folder)


def test_learned_detectors_take_the_limits(tmp_path: Path) -> None:
    for word in (f"aliked:{aliked_file(tmp_path)}", f"disk:{disk_file(tmp_path)}"):
        assert load_detector(word, Limits(max_keypoints=7)).recipe()["max_keypoints"] == 7


def test_the_table_says_what_the_detectors_say(tmp_path: Path) -> None:
    """Which descriptor comes with which is known before anything is loaded, so it stands twice."""
    (tmp_path / "s-1.kp").write_text("1 2\n")
    where = {
        "superpoint": str(superpoint_folder(tmp_path / "superpoint")),
        "aliked": str(aliked_file(tmp_path)),
        "disk": str(disk_file(tmp_path)),
        "listed": str(tmp_path),
    }
    for name in ("sift", "tiny", *where):
        detector = load_detector(f"{name}:{where[name]}" if name in where else name)
        own = detector.own_describer()
        assert detector.name == name
        assert (None if own is None else own.name) == KINDS[name].descriptor
    assert DETECTORS == ("sift", "superpoint", "aliked", "disk", "tiny")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "fast",
            r"one of sift, superpoint\[:FOLDER_OR_HUB_ID\], aliked\[:MODEL_OR_FILE\], "
            r"disk\[:FILE\], tiny\[:FILE\], colmap:DATABASE, listed:FOLDER$",
        ),
        ("fast:/x", "expected one of sift"),
        ("", "detector is '', expected one of sift"),
        ("sift:3", "detector is 'sift:3', expected sift$"),
        ("sift:", "expected sift$"),
        ("superpoint:", r"expected superpoint\[:FOLDER_OR_HUB_ID\]$"),
        ("aliked:", r"expected aliked\[:MODEL_OR_FILE\]$"),
        ("disk:", r"expected disk\[:FILE\]$"),
        ("colmap", "detector is 'colmap', expected colmap:DATABASE$"),
        ("listed:", "expected listed:FOLDER$"),
        ("owner/model", "expected superpoint:owner/model for a folder or hub id of SuperPoint$"),
    ],
)
def test_a_word_that_means_none_is_told(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_word(word)


def test_a_bare_folder_is_told_how_it_is_written_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected superpoint:weights for a folder or hub id"):
        load_detector("weights")
