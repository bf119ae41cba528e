"""`dift-geo calibrate`."""

from __future__ import annotations

import pytest
from conftest import textured

from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore

QUICK = ["--max-keypoints", "100", "--size", "200"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        write_image(folder / f"{seed}.png", textured((200, 160), seed))
    return folder


def test_calibrate_fits_and_is_used(pictures, tmp_path, command) -> None:
    out, f = tmp_path / "own.safetensors", tmp_path / "f.h5"
    done = command("calibrate", pictures, out, "--views", 2, "--dim", 32, *QUICK)
    assert done.code == 0, done.err
    assert "held-back views" in done.out
    dift = ["--descriptor", "dift", *QUICK]
    assert command("extract", pictures, f, "--projection", out, *dift).code == 0
    with FeatureStore(f) as store:
        assert store["0.png"].descriptors.shape[1] == 32


def test_calibrate_fits_rootsift_beside(pictures, tmp_path, command) -> None:
    out, f = tmp_path / "both.safetensors", tmp_path / "f.h5"
    both = ["--descriptor", "dift+rootsift", "--reading", "dense", *QUICK]
    assert command("calibrate", pictures, out, "--views", 2, "--dim", 40, *both).code == 0
    assert command("extract", pictures, f, "--projection", out, *both).code == 0
    with FeatureStore(f) as store:
        assert store["0.png"].descriptors.shape[1] == 40


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--descriptor", "rootsift"], "use --descriptor dift or dift+rootsift"),
        (["--detector", "colmap:a.db"], "use --detector sift or superpoint"),
        (["--straighten", "roll"], "a projection is fitted on views of single photos"),
    ],
)
def test_what_cannot_be_calibrated_is_told(pictures, tmp_path, command, words, message) -> None:
    done = command("calibrate", pictures, tmp_path / "own.safetensors", *words)
    assert done.code == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1
