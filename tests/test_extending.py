"""docs/extending.md runs from top to bottom, and the fakes hold their contracts."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

import dift_geo
from dift_geo.backends.config import DiftConfig, Noise
from dift_geo.cli.main import main
from dift_geo.detectors.contract import Detector
from dift_geo.dift.describer import Dift
from dift_geo.errors import InputError
from dift_geo.extractor import Extractor
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.testing import FakeBackend, FakeDetector

PAGE = Path(ROOT, "docs", "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
FILE = re.compile(r"# (\w+)\.py\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_module) -> Iterator[Path]:
    """A place with photos, where the files of the page lie and can be imported."""
    pipeline_module("rendered_scene").write_scene(tmp_path / "photos", views=3, size_wh=(400, 300))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for language, code in BLOCKS:
        if language == "python" and (named := FILE.match(code)):
            sys.modules.pop(named[1], None)


def test_every_block_of_the_page_runs_in_order(folder: Path) -> None:
    names: dict[str, object] = {"__name__": "page"}
    files = []
    for language, code in BLOCKS:
        if language == "sh":
            for line in code.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
        elif named := FILE.match(code):
            files.append(named[1])
            (folder / f"{named[1]}.py").write_text(code, encoding="utf-8")
        else:
            exec(compile(code, "extending.md", "exec"), names)
    assert files == ["corners", "ddpm"]
    extractor = names["extractor"]
    assert isinstance(extractor, Extractor)
    with dift_geo.FeatureStore("features.h5") as store:
        assert list(store) == ["view_0.png", "view_1.png", "view_2.png"]
        image = dift_geo.read_image("photos/view_1.png")
        expected = extractor.extract(image, "view_1.png")
        np.testing.assert_array_equal(store["view_1.png"].keypoints.xy, expected.keypoints.xy)
    with dift_geo.MatchStore("matches.h5") as matches:
        assert len(matches) == 3
        assert all(len(matches[pair]) > 20 for pair in matches)


def test_the_page_leaves_no_block_out() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert len(BLOCKS) == PAGE.count("\n```") // 2


# the fakes


def shifted(picture: np.ndarray, cells: int) -> np.ndarray:
    return np.roll(picture, 4 * cells, axis=1)


def test_a_shifted_picture_matches_itself(picture: np.ndarray) -> None:
    extractor = Extractor(FakeDetector(spacing=16, oriented=False), Dift(FakeBackend()))
    features0 = extractor.extract(picture, "a")
    features1 = extractor.extract(shifted(picture, 4), "b")  # one spacing to the right
    matches = match_mutual_nn(features0.descriptors, features1.descriptors)
    xy0, xy1 = matches.points(features0, features1)
    assert np.mean((xy1 - xy0 == (16, 0)).all(1)) > 0.8
    assert len(matches) > 0.8 * len(features0)


def test_the_backend_has_the_shapes_and_the_schedule_of_its_contract() -> None:
    backend = FakeBackend(channels=5)
    images = torch.rand((2, 3, 16, 24), generator=torch.Generator().manual_seed(0))
    x0, deviation = backend.encode(images)
    assert x0.shape == (2, 3, 4, 6)
    assert deviation is None
    assert FakeBackend(deviation=0.1).encode(images)[1].unique().tolist() == pytest.approx([0.1])
    features = backend.decoder_features(x0, 0, (2, 0))
    assert [tuple(values.shape) for values in features] == [(2, 5, 4, 6)] * 2
    assert backend.images_seen == 2
    signal = [float(backend.alpha_bar(t)) for t in (0, 500, 999)]
    assert signal == pytest.approx([1, 0.5, 0.001])
    with pytest.raises(InputError, match="layer is -1, expected 0 or more"):
        backend.decoder_features(x0, 0, (-1,))


def test_the_backend_runs_with_noise_patches_and_seeds(picture: np.ndarray) -> None:
    detector = FakeDetector(spacing=40)
    config = DiftConfig(layers=(1,), t=100, noise=Noise(ensemble=2, posterior=True))
    noisy = Extractor(detector, Dift(FakeBackend(deviation=0.2), config=config))
    first, again = noisy.extract(picture, "a"), noisy.extract(picture, "a")
    np.testing.assert_array_equal(first.descriptors, again.descriptors)
    assert np.abs(noisy.extract(picture, "b").descriptors - first.descriptors).max() > 1e-3
    oriented = FakeBackend().settings("oriented", "default")
    patches = Extractor(detector, Dift(FakeBackend(), config=oriented)).extract(picture, "a")
    assert len(patches) == len(first) == 48
    other = Extractor(detector, Dift(FakeBackend(seed=1), config=oriented))
    assert np.abs(other.extract(picture, "a").descriptors - patches.descriptors).max() > 1e-3
    assert other.recipe() != Extractor(detector, Dift(FakeBackend(), config=oriented)).recipe()
    with pytest.raises(InputError, match="no settings are published for fake"):
        FakeBackend().settings(None, "paper")


def test_the_detector_is_a_grid(picture: np.ndarray) -> None:
    keypoints = FakeDetector(spacing=100).detect(picture, "a")
    np.testing.assert_array_equal(keypoints.xy, [[x, y] for y in (50, 150) for x in (50, 150, 250)])
    np.testing.assert_array_equal(keypoints.scale, np.full(6, 25))
    assert (np.diff(keypoints.scores) < 0).all()
    few = FakeDetector(100, 2, oriented=False, at_full_size=True)
    np.testing.assert_array_equal(few.detect(picture, "a").xy, keypoints.xy[:2])
    assert few.detect(picture, "a").scale is None
    assert few.at_full_size
    assert len(FakeDetector().detect(np.zeros((3, 3, 3), np.uint8), "a")) == 0
    for field in ("spacing", "max_keypoints"):
        with pytest.raises(InputError, match=f"{field} is 0, expected at least 1"):
            FakeDetector(**{field: 0})


def test_a_detector_that_leaves_a_method_out_says_so_when_asked(picture: np.ndarray) -> None:
    class Nothing(Detector):
        name = "nothing"

    with pytest.raises(NotImplementedError):
        Nothing().detect(picture, "a")
