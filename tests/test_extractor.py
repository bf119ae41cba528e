"""From words to parts."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.backends.tiny import WEIGHTS
from dift_geo.dift.projection import Projection
from dift_geo.extractor import build_extractor
from dift_geo.images import resize_longest


def test_concatenation_is_the_weighted_mean_of_both_similarities(picture):
    """The dense projection's constant of 2 leaves a fifth of a row's square to what varies, so its
    row counts five times.
    """
    both = build_extractor(descriptor="dift+rootsift", reading="dense", max_keypoints=60, size=200)
    dift, sift = both.describers
    small = resize_longest(picture, 200)
    keypoints = both.detector.detect(small)
    rows, dift_rows, sift_rows = (
        both.extract(picture, "x").descriptors,
        *(d.describe(small, keypoints, "x") for d in (dift, sift)),
    )
    similarity = (5 * dift_rows @ dift_rows.T + sift_rows @ sift_rows.T) / 6
    np.testing.assert_allclose(rows @ rows.T, similarity, atol=1e-5)


def test_rootsift_goes_through_the_shipped_projection_of_both(picture):
    (dift,) = build_extractor(descriptor="dift+rootsift", max_keypoints=60).describers
    shipped = Projection.load(WEIGHTS / "projection_oriented+sift.safetensors")
    keypoints = dift.detector.detect(picture)
    alone = dift.with_config()
    alone.beside = None
    raw = np.concatenate(
        [
            alone.raw_descriptors(picture, keypoints, "x"),
            dift.detector.describe(picture, keypoints),
        ],
        1,
    )
    np.testing.assert_allclose(
        dift.describe(picture, keypoints, "x"), shipped.apply(raw), atol=1e-5
    )
    (only,) = build_extractor(descriptor="dift", max_keypoints=60).describers
    assert only.projection.fingerprint != shipped.fingerprint


def test_a_projection_of_ones_own_serves_what_it_was_fitted_for(tmp_path, picture):
    words = {"descriptor": "dift+rootsift", "max_keypoints": 40}
    (dift,) = build_extractor(**words).describers
    raw = dift.raw_descriptors(picture, dift.detector.detect(picture), "x")
    noisy = raw + np.random.default_rng(0).normal(0, 0.05, raw.shape)
    Projection.fit(raw, noisy, 8, about={"beside": "sift"}).save(tmp_path / "both.safetensors")
    Projection.fit(raw[:, :-128], noisy[:, :-128], 8).save(tmp_path / "alone.safetensors")
    together = build_extractor(**words, projection=str(tmp_path / "both.safetensors"))
    assert together.extract(picture, "x").descriptors.shape == (40, 8)
    apart = build_extractor(**words, projection=str(tmp_path / "alone.safetensors"))
    assert apart.extract(picture, "x").descriptors.shape == (40, 8 + 128)


def test_keypoints_come_in_the_frame_of_the_original(picture):
    extractor = build_extractor(descriptor="rootsift", max_keypoints=60, size=200)
    small = resize_longest(picture, 200)
    direct = extractor.detector.detect(small)
    found = extractor.extract(picture, "x").keypoints
    factor = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
    np.testing.assert_allclose(found.xy, (direct.xy + 0.5) * factor - 0.5, atol=1e-4)
    assert found.size_wh == (picture.shape[1], picture.shape[0])


def test_dense_reading_has_one_keypoint_a_place(picture):
    dense = build_extractor(reading="dense", max_keypoints=500).extract(picture, "x").keypoints
    places = np.concatenate([dense.xy, dense.scale[:, None]], 1)
    assert len(np.unique(places, axis=0)) == len(places)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"descriptor": "orb"}, "descriptor is 'orb', expected one of dift, rootsift"),
        ({"detector": "fast"}, "detector is 'fast', expected one of sift"),
        ({"descriptor": "superpoint"}, "needs --detector superpoint, got 'sift'"),
        ({"backend": "sd9"}, "sd9"),
        ({"max_keypoints": 0}, "max_keypoints is 0, expected at least 1"),
    ],
)
def test_words_that_do_not_fit_are_told(words, message):
    with pytest.raises((ValueError, OSError), match=message):
        build_extractor(**words)


def test_bench_against_superpoint_runs(capsys):
    import importlib.util
    import json

    from conftest import ROOT

    spec = importlib.util.spec_from_file_location(
        "bench_extract", ROOT / "pipelines" / "bench" / "extract.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = __import__("torch").get_num_threads()
    module.main(["--keypoints", "50", "--repeats", "1", "--threads", str(threads)])
    record = json.loads(capsys.readouterr().out)
    assert record["keypoints"] == 50
    assert record["seconds"]["superpoint forward"] > 0
