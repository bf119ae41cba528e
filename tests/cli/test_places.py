"""Places and numbers that cannot be: one line before any work, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches


@pytest.fixture
def place(photos, tmp_path) -> Path:
    """A folder with a file, a folder, a store of features and one of matches, and pairs."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.txt").write_text("0.png 1.png\n")
    keypoints = Keypoints(np.zeros((2, 2)), np.ones(2), (320, 240))
    with FeatureStore(tmp_path / "f.h5", {"by": "hand"}) as features:
        for name in ("0.png", "1.png"):
            features[name] = Features(keypoints, np.eye(2))
        features.merge()
    with MatchStore(tmp_path / "m.h5", {"by": "hand"}) as matches:
        matches.put(("0.png", "1.png"), Matches(np.zeros((1, 2), int), np.ones(1)), 2)
        matches.merge()
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


def refused(command, place, photos, line) -> str:
    """The one line that a command says, which leaves everything as it was."""
    before = contents(place)
    words = [word.format(photos=photos, here=place) for word in line.split()]
    done = command(*words)
    assert contents(place) == before
    assert done.out == ""
    assert "defect" not in done.err
    assert "Traceback" not in done.err
    said = done.err.strip().splitlines()
    if done.code == 2:
        return said[-1]
    assert done.code == 1
    (one,) = said
    assert one.startswith("dift-geo: ")
    return one


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extract {photos} {here}/folder", "folder is a folder, expected the name of a file"),
        ("extract {photos} {here}/file/f.h5", "is a file; choose another place"),
        ("extract {here}/file {here}/out.h5", "file is not a folder"),
        ("extract {here}/empty {here}/out.h5", "holds no images"),
        ("extract {here}/nowhere {here}/out.h5", "is not a folder"),
        ("reconstruct {photos} {here}/file", "file is a file, expected a folder"),
        ("reconstruct {photos} {here}/file/out", "is a file; choose another place"),
        ("reconstruct {here}/file {here}/out", "file is not a folder"),
        ("reconstruct {photos} {here}/out --features {here}/none.h5", "no features at"),
        ("reconstruct {photos} {here}/out --features {here}/file", "is no HDF5 file"),
        ("reconstruct {photos} {here}/out --features {here}/folder", "is a folder, expected"),
        ("reconstruct {photos} {here}/out --features {here}/m.h5", "holds no features"),
        (
            "reconstruct {photos} {here}/out --features {here}/f.h5 --matches {here}/none.h5",
            "no matches at",
        ),
        (
            "reconstruct {photos} {here}/out --features {here}/f.h5 --matches {here}/file",
            "is no HDF5 file",
        ),
        ("reconstruct {photos} {here}/out --intrinsics {here}/none.txt", "none.txt"),
        ("reconstruct {photos} {here}/out --intrinsics {here}/file", "file:1"),
        ("reconstruct {photos} {here}/out --projection {here}/file", "is no projection file"),
        ("reconstruct {photos} {here}/out --projection {here}/none", "no projection at"),
        ("reconstruct {photos} {here}/out --pairs {here}/none.txt", "none.txt"),
        ("reconstruct {photos} {here}/out --camera-model PINHOL", "PINHOL"),
        ("pairs {here}/f.h5 {here}/folder", "is a folder, expected the name of a file"),
        ("pairs {here}/f.h5 {here}/f.h5", "features and out are both"),
        ("pairs {photos} {here}/m.h5", "is there and no text"),
        ("pairs {here}/m.h5 {here}/out.txt", "holds no features"),
        ("pairs {here}/none.h5 {here}/out.txt", "no features at"),
        ("match {here}/f.h5 {here}/p.txt {here}/folder", "is a folder, expected the name of"),
        ("match {here}/f.h5 {here}/p.txt {here}/f.h5", "features and matches are both"),
        ("match {here}/f.h5 {here}/p.txt {here}/p.txt", "pairs and matches are both"),
        ("match {here}/m.h5 {here}/p.txt {here}/out.h5", "holds no features"),
        ("match {here}/f.h5 {here}/none.txt {here}/out.h5", "no pairs file at"),
        ("homography {photos}/0.png {photos}/1.png --out {here}/file", "expected a folder"),
        ("homography {photos}/0.png {here}/none.png --out {here}/x", "no image at"),
        ("homography {photos}/0.png {here}/folder --out {here}/x", "no image at"),
        ("calibrate {photos} {here}/folder", "is a folder, expected the name of a file"),
        ("calibrate {photos} {here}/file", "is no projection file"),
        ("calibrate {here}/file {here}/own.safetensors", "is not a folder"),
        ("import {here}/none.db {here}/out.h5", "no COLMAP database at"),
        ("import {here}/file {here}/out.h5", "is no COLMAP database"),
        ("import {here}/file {here}/folder", "is a folder, expected the name of a file"),
        ("import {here}/file {here}/x.h5 --matches {here}/x.h5", "features and matches are both"),
        ("export {here}/f.h5 {here}/p.txt {here}/none.h5 --text {here}/t", "no matches at"),
        ("export {here}/f.h5 {here}/p.txt {here}/m.h5 --text {here}/file", "expected a folder"),
        (
            "export {here}/f.h5 {here}/p.txt {here}/m.h5 --database {here}/f.h5 --images {photos}",
            "features and database are both",
        ),
        ("compare {here}/none {here}/folder", "none"),
        ("download {here}/file", "is a file, expected a folder"),
    ],
)
def test_places_that_cannot_be(command, place, photos, line, message) -> None:
    assert message in refused(command, place, photos, line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extract {photos} {here}/o --size 0", "size is 0, expected at least 16"),
        ("extract {photos} {here}/o --size -1", "size is -1"),
        ("extract {photos} {here}/o --max-keypoints 0", "max_keypoints is 0"),
        ("extract {photos} {here}/o --max-batch 0", "max_batch is 0"),
        ("extract {photos} {here}/o --seed -1", "seed: it is -1"),
        ("reconstruct {photos} {here}/o --seed 3000000000", "at most 2.14748e+09"),
        ("reconstruct {photos} {here}/o --overlap -3", "overlap is -3"),
        ("reconstruct {photos} {here}/o --ratio nan", "ratio is nan"),
        ("match {here}/f.h5 {here}/p.txt {here}/o --ratio 0", "ratio is 0"),
        ("match {here}/f.h5 {here}/p.txt {here}/o --min-similarity 2", "min_similarity is 2"),
        ("homography {photos}/0.png {photos}/1.png --max-error 0", "more than 0"),
        ("homography {photos}/0.png {photos}/1.png --max-error nan", "more than 0"),
        ("homography {photos}/0.png {photos}/1.png --max-error inf", "at most"),
        ("calibrate {photos} {here}/o --dim 0", "at least 1"),
        ("calibrate {photos} {here}/o --views -1", "at least 0"),
        ("pairs {here}/f.h5 {here}/o --pairs sequential --overlap 0", "overlap is 0"),
    ],
)
def test_numbers_out_of_range(command, place, photos, line, message) -> None:
    assert message in refused(command, place, photos, line)


DEVICE_LINES = (
    "extract {photos} {here}/o",
    "extract {photos} {here}/o --descriptor rootsift",
    "reconstruct {photos} {here}/o",
    "reconstruct {photos} {here}/o --descriptor rootsift",
    "reconstruct {photos} {here}/o --features {here}/f.h5",
    "match {here}/f.h5 {here}/p.txt {here}/o",
    "homography {photos}/0.png {photos}/1.png --out {here}/o",
    "calibrate {photos} {here}/o",
)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here there is CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize("line", DEVICE_LINES)
def test_cuda_without_cuda_is_one_line(command, place, photos, line, device) -> None:
    said = refused(command, place, photos, f"{line} --device {device}")
    assert f"device is '{device}' but torch" in said
    assert "use --device cpu" in said


def test_a_picture_of_the_users_is_not_replaced(command, place, photos) -> None:
    write_image(place / "folder" / "matches.png", np.zeros((8, 8, 3), np.uint8))
    line = "homography {photos}/0.png {photos}/1.png --out {here}/folder"
    assert "is of no earlier run" in refused(command, place, photos, line)
    line = "homography {here}/folder/matches.png {photos}/1.png --out {here}/folder"
    assert "image0 and picture are both" in refused(command, place, photos, line)


def test_an_unwritable_folder_is_told_first(command, place, photos, monkeypatch) -> None:
    import os

    monkeypatch.setattr(os, "access", lambda *_: False)
    line = "calibrate {photos} {here}/own.safetensors"
    assert "may not be written (permission denied)" in refused(command, place, photos, line)


def test_a_comparison_does_not_replace_a_run(command, place, photos) -> None:
    line = "compare {here}/empty {here}/folder --to {here}/folder/."
    assert "is one of the runs" in refused(command, place, photos, line)
