"""hloc's contracts, with a stub in hloc's place."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dift_geo import Matches, hloc_plugin, match_mutual_nn
from dift_geo.detectors.loader import DETECTORS
from dift_geo.errors import InputError
from dift_geo.extractor import ExtractorOptions
from dift_geo.hloc_plugin import extractor_confs, matcher_confs, register, repair_two_view_config
from dift_geo.hloc_plugin.confs import options_of
from dift_geo.matching.options import MatchOptions


def load(stub: str, kind: str, conf: dict) -> torch.nn.Module:
    register(stub)
    module = importlib.import_module(f"{stub}.{kind}.dift")
    (model,) = (
        m for m in vars(module).values() if isinstance(m, type) and m.__module__ == module.__name__
    )
    return model({"name": "dift", **conf})


def test_importing_and_registering(stub: str) -> None:
    assert "hloc" not in sys.modules
    register(stub)
    register(stub)
    extract = importlib.import_module(f"{stub}.extract_features")
    assert {"sift", "dift-tiny-sift", "dift-sd2.1-superpoint", "dift-adm-sift"} <= set(
        extract.confs
    )
    assert {"NN-mutual", "dift-mnn"} <= set(importlib.import_module(f"{stub}.match_features").confs)
    assert len(importlib.import_module(f"{stub}.extractors").__path__) == 2


def test_no_hloc_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModuleNotFoundError, match="no no_such_hloc to plug into; install hloc"):
        register("no_such_hloc")
    from dift_geo.hloc_plugin.__main__ import main

    assert main(["--package", "no_such_hloc", "extract_features"]) == 1
    assert "install hloc" in capsys.readouterr().err


def test_a_module_without_command_line_is_named(stub: str) -> None:
    from dift_geo.hloc_plugin.__main__ import run_command_line

    register(stub)
    with pytest.raises(ValueError, match=r"triangulation has no command line"):
        run_command_line(importlib.import_module(f"{stub}.triangulation"), [])


def test_two_view_fix_declares_inliers_calibrated_and_leaves_pycolmap_alone(stub: str) -> None:
    import pycolmap

    before = pycolmap.TwoViewGeometry
    rows = np.array([[0, 0], [1, 1]], np.uint32)
    register(stub)
    module = importlib.import_module(f"{stub}.triangulation")
    configuration = pycolmap.TwoViewGeometryConfiguration
    assert module.write(inlier_matches=rows).config == configuration.UNDEFINED
    repair_two_view_config(stub)
    repair_two_view_config(stub)
    assert module.write(inlier_matches=rows).config == configuration.CALIBRATED
    assert (
        module.write(inlier_matches=rows, config=configuration.PLANAR).config
        == configuration.PLANAR
    )
    assert module.write().config == configuration.UNDEFINED
    assert module.pycolmap.Database is pycolmap.Database
    assert pycolmap.TwoViewGeometry is before


@pytest.mark.parametrize("ratio", [None, 0.9])
@pytest.mark.parametrize(("n0", "n1"), [(0, 3), (3, 0), (1, 1), (40, 30)])
def test_matcher_contract(stub: str, n0: int, n1: int, ratio: float | None) -> None:
    random = np.random.default_rng(0)
    rows = [
        r / np.linalg.norm(r, axis=1, keepdims=True)
        for r in (random.normal(size=(n, 8)) for n in (n0, n1))
    ]
    matcher = load(stub, "matchers", {"ratio": ratio})
    found = matcher(
        {f"descriptors{i}": torch.from_numpy(r.T[None]).float() for i, r in enumerate(rows)}
    )
    assert found["matches0"].shape == found["matching_scores0"].shape == (1, n0)
    expected = match_mutual_nn(*rows, ratio=ratio)
    matched = torch.nonzero(found["matches0"][0] >= 0)[:, 0]
    got = Matches(
        torch.stack([matched, found["matches0"][0, matched]], 1).numpy(),
        found["matching_scores0"][0, matched].numpy(),
    )
    np.testing.assert_array_equal(got.pairs, expected.pairs)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5)


def test_matcher_refuses_what_hlocs_files_cannot_hold(stub: str) -> None:
    matcher = load(stub, "matchers", {})
    many = torch.zeros(1, 2, 32769)
    with pytest.raises(ValueError, match=r"32769 keypoints .* up to 32767 \(int16\)"):
        matcher({"descriptors0": many[..., :1], "descriptors1": many})
    with pytest.raises(ValueError, match="unknown setting ratoi, expected min_similarity, ratio"):
        load(stub, "matchers", {"ratoi": 0.8})


@pytest.mark.parametrize("channels", [1, 3])
def test_extractor_contract(stub: str, channels: int, texture) -> None:
    extractor = load(stub, "extractors", {"descriptor": "rootsift", "max_keypoints": 50})
    image = torch.from_numpy(texture((90, 70), 1)).permute(2, 0, 1)[None, :channels].float() / 255
    found = extractor({"image": image})
    n = found["keypoints"].shape[1]
    assert 0 < n <= 50
    shapes = {
        "keypoints": (1, n, 2),
        "scores": (1, n),
        "descriptors": (1, 128, n),
        "scales": (1, n),
        "oris": (1, n),
    }
    assert {key: tuple(value.shape) for key, value in found.items()} == shapes
    assert extractor.detection_noise == 1.0
    flat = extractor({"image": torch.full((1, channels, 40, 50), 0.5)})
    assert tuple(flat["descriptors"].shape) == (1, 128, 0)
    with pytest.raises(
        ValueError, match=r"image has shape \(2, 3, 40, 50\), expected \(1, 1 or 3, H, W\)"
    ):
        extractor({"image": torch.zeros(2, 3, 40, 50)})


def test_a_wrong_setting_is_an_error(stub: str) -> None:
    with pytest.raises(InputError, match="unknown setting max_keypionts, expected backend, config"):
        load(stub, "extractors", {"max_keypionts": 50})
    with pytest.raises(InputError, match="max_keypoints is 0, expected at least 1"):
        load(stub, "extractors", {"max_keypoints": 0})
    with pytest.raises(InputError, match="hloc does not tell an extractor the names of images"):
        load(stub, "extractors", {"detector": "colmap:any.db"})
    with pytest.raises(InputError, match="straighten is 'roll', but hloc shows an extractor one"):
        load(stub, "extractors", {"straighten": "roll"})


def test_configurations_are_options_that_can_be_met() -> None:
    confs = extractor_confs()
    assert len(confs) == 3 * len(DETECTORS)
    for name, conf in confs.items():
        options = options_of(ExtractorOptions, conf["model"], size=None)
        assert name == f"dift-{options.backend}-{options.detector}"
        assert conf["preprocessing"]["resize_max"] == (1600 if options.backend == "tiny" else 1024)
    ratios = {
        name: options_of(MatchOptions, conf["model"]).ratio
        for name, conf in matcher_confs().items()
    }
    assert ratios == {"dift-mnn": None, "dift-mnn-ratio.95": 0.95, "dift-mnn-ratio.9": 0.9}


def test_a_configuration_cannot_be_changed_for_others() -> None:
    extractor_confs()["dift-tiny-sift"]["model"]["max_keypoints"] = 3
    assert extractor_confs()["dift-tiny-sift"]["model"]["max_keypoints"] == 8192


def test_plugin_files_are_part_of_the_package() -> None:
    for kind in ("extractors", "matchers"):
        assert (Path(hloc_plugin.__file__).parent / kind / "dift.py").is_file()
        assert (Path(hloc_plugin.__file__).parent / kind / "__init__.py").is_file()
