"""What lies among the photos and is not used is said, and masks are used where they are given."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from dift_geo.images import read_image, write_image
from dift_geo.store.features import FeatureStore

ROOTSIFT = ("--descriptor", "rootsift", "--max-keypoints", 250, "--size", 320)


@pytest.fixture
def folder(photos, tmp_path) -> Path:
    """A copy of the photos, to put other things beside."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


def half_black(folder: Path, masks: Path) -> None:
    """Masks that leave the left half of every photo of a folder."""
    for photo in list(folder.glob("*.png")):
        wanted = np.full_like(read_image(photo), 255)
        wanted[:, wanted.shape[1] // 2 :] = 0
        masks.mkdir(exist_ok=True)
        write_image(masks / f"{photo.name}.png", wanted)


@pytest.mark.parametrize("command_name", ["extract", "reconstruct"])
def test_what_is_passed_over_is_said_by_reason(folder, tmp_path, command, command_name) -> None:
    for name in ("a.NEF", "b.NEF", "c.dng", "film.mov", "notes.txt"):
        (folder / name).touch()
    shutil.copy(folder / "0.png", folder / "no_extension")
    done = command(command_name, folder, tmp_path / "out", *ROOTSIFT)
    assert done.code == 0, done.err
    said = [line for line in done.err.splitlines() if line.startswith("dift-geo: ")]
    assert len(said) == 4
    assert "a.NEF, b.NEF: .NEF cannot be decoded here; convert it" in done.err
    assert "c.dng: .dng cannot" in done.err
    assert "film.mov: .mov is a film" in done.err
    assert "no_extension: holds an image, but" in done.err
    assert "notes" not in done.err


def test_many_names_are_counted(folder, tmp_path, command) -> None:
    for i in range(30):
        (folder / f"{i:02}.nef").touch()
    done = command("extract", folder, tmp_path / "f.h5", *ROOTSIFT)
    assert "09.nef and 20 more: .nef cannot" in done.err


def test_a_folder_of_nothing_but_raw_photos_says_so(tmp_path, command) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.CR2").touch()
    done = command("extract", tmp_path / "raw", tmp_path / "f.h5", *ROOTSIFT)
    assert done.code == 1
    assert "a.CR2: .CR2 cannot be decoded" in done.err
    assert "holds no images" in done.err


def test_heic_without_its_package_is_a_photo_that_should_have_been_read(
    folder, tmp_path, command, monkeypatch, caplog
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    done = command("extract", folder, tmp_path / "f.h5", *ROOTSIFT)
    assert done.code == 3
    assert "phone.HEIC" in done.err
    assert "pip install 'dift-geo[heif]'" in caplog.text


@pytest.mark.parametrize("command_name", ["extract", "reconstruct"])
def test_masks_keep_keypoints_away(folder, tmp_path, command, command_name) -> None:
    half_black(folder, tmp_path / "masks")
    out = tmp_path / "out"
    words = (command_name, folder, out, *ROOTSIFT, "--masks", tmp_path / "masks")
    done = command(*words)
    store = out if command_name == "extract" else out / "features.h5"
    with FeatureStore(store) as found:
        assert len(found) == 5
        for name in found:
            assert len(found[name]) > 10
            assert found[name].keypoints.xy[:, 0].max() <= 161
    assert done.code in (0, 1)  # half a picture may not make a model


def test_masks_among_the_photos_are_told_apart(folder, tmp_path, command) -> None:
    half_black(folder, folder)
    done = command("extract", folder, tmp_path / "f.h5", *ROOTSIFT)
    assert done.code == 0
    assert "5 of 5" in done.out
    assert "0.png.png, 1.png.png" in done.err
    assert "masks among the photos are used only with --masks" in done.err
    done = command("extract", folder, tmp_path / "f.h5", *ROOTSIFT, "--masks", folder)
    assert done.code == 0
    assert "dift-geo:" not in done.err
    with FeatureStore(tmp_path / "f.h5") as found:
        assert all(found[name].keypoints.xy[:, 0].max() <= 161 for name in found)


@pytest.mark.parametrize(
    ("masks", "message"),
    [("nowhere", "is not a folder"), ("empty", "holds no mask of any"), ("file", "not a folder")],
)
@pytest.mark.parametrize("command_name", ["extract", "reconstruct"])
def test_masks_that_are_none_are_told(
    folder, tmp_path, command, command_name, masks, message
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    words = (command_name, folder, tmp_path / "out", *ROOTSIFT, "--masks", tmp_path / masks)
    done = command(*words)
    assert done.code == 1
    assert message in done.err


def test_masks_contradict_finished_features(folder, tmp_path, command) -> None:
    words = ("--features", tmp_path / "f.h5", "--masks", folder)
    done = command("reconstruct", folder, tmp_path / "out", *words)
    assert done.code == 1
    assert "with --features nothing is extracted" in done.err
    assert not (tmp_path / "out").exists()
