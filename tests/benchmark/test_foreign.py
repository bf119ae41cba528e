"""Features and matches that other programs wrote."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from dift_geo.benchmark.foreign import (
    ForeignFeatures,
    read_npz_features,
    squared_distance_rows,
)
from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import protocol_named
from dift_geo.benchmark.methods import ForeignMethod, stored_methods
from dift_geo.benchmark.run import evaluate

FIXTURE = Path(__file__).parent.parent / "fixtures" / "released_evaluation.npz"


def fixture_benchmark(root: Path, extension: str) -> tuple[Path, Path, dict]:
    """The frozen fixture laid out as images, truth and feature files of the DIFT release."""
    frozen = dict(np.load(FIXTURE))
    for sequence in ("i_flat", "v_tilt"):
        w, h = frozen[f"{sequence}/size_wh"]
        (root / "images" / sequence).mkdir(parents=True)
        (root / "features" / sequence).mkdir(parents=True)
        for k in range(1, 7):
            cv2.imwrite(
                str(root / "images" / sequence / f"{k}.{extension}"), np.zeros((h, w, 3), np.uint8)
            )
            if k > 1:
                np.savetxt(
                    root / "images" / sequence / f"H_1_{k}",
                    frozen[f"{sequence}/H_1_{k}"],
                    fmt="%.18g",
                )
            with (root / "features" / sequence / f"{k}.ppm.dift_sd").open("wb") as file:
                arrays = {
                    name: frozen[f"{sequence}/{k}/{name}"] for name in ("keypoints", "descriptors")
                }
                np.savez(file, scores=[], **arrays)
    return root / "images", root / "features", frozen


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("estimator", ["lmeds", "ransac"])
def test_accuracy_equals_the_released_evaluation_on_every_pair(tmp_path, estimator, metric):
    """expected/*: (is v, k, matches, mean corner distance) by eval_homography.py of the DIFT
    release on these files.

    Known differences: it stops where no homography is found, ours counts a failure; and an estimate
    with fewer than four inliers or a horizon through the image is infinitely wrong here, a large
    number there: neither is ever accurate.
    """
    images, features, frozen = fixture_benchmark(tmp_path, "png")
    protocol = protocol_named("dift").with_estimator(estimator)
    method = ForeignMethod("released", features, metric=metric)
    report = evaluate(
        read_benchmark(images), tmp_path / "out", [method], protocol, draws=5, pictures=0
    )
    expected = frozen[f"expected/{estimator}/{metric}"]
    rows = report.tables["released"].rows
    assert len(rows) == len(expected) == 10
    for row, (is_v, k, matches, distance) in zip(rows, expected):
        corner_px = row.values["corner_px"]
        assert row.group == ("i_flat", "v_tilt")[int(is_v)]
        assert (int(row.item), row.values["matches"]) == (k, matches)
        assert [corner_px <= t for t in (1, 3, 5)] == [distance <= t for t in (1, 3, 5)]
        if np.isfinite(corner_px):
            assert corner_px == pytest.approx(distance, rel=1e-6)


def test_squared_distances_as_products():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(7, 5)), random.normal(size=(9, 5)) * 3
    left, right = squared_distance_rows(a, b)
    np.testing.assert_allclose(left @ right.T, -((a[:, None] - b[None]) ** 2).sum(2), atol=1e-4)


def test_npz_features_count_repeated_keypoints_once(tmp_path):
    with (tmp_path / "1.ppm.x").open("wb") as file:
        np.savez(
            file,
            keypoints=[[5, 5, 1.0], [2, 3, 1.0], [5, 5, 1.0]],
            scores=[0.1, 0.2, 0.3],
            descriptors=np.eye(3),
        )
    features = read_npz_features(tmp_path / "1.ppm.x", (10, 8))
    np.testing.assert_array_equal(features.keypoints.xy, [[2, 3], [5, 5]])
    np.testing.assert_array_equal(features.descriptors, np.eye(3)[[1, 0]])
    np.testing.assert_allclose(features.keypoints.scores, [0.2, 0.1])


def test_npz_features_can_be_empty_and_say_what_is_wrong(tmp_path):
    with (tmp_path / "empty").open("wb") as file:
        np.savez(file, keypoints=np.zeros((0, 2)), descriptors=np.zeros((0, 4)), scores=[])
    assert len(read_npz_features(tmp_path / "empty", (4, 4))) == 0
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="no npz with keypoints and descriptors"):
        read_npz_features(tmp_path / "text", (4, 4))
    with (tmp_path / "uneven").open("wb") as file:
        np.savez(file, keypoints=np.zeros((3, 2)), descriptors=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"3 keypoints and descriptors of shape \(2, 4\)"):
        read_npz_features(tmp_path / "uneven", (4, 4))


def test_foreign_files_are_found_beside_the_images_and_missed_by_name(tmp_path):
    (tmp_path / "v_a").mkdir()
    (tmp_path / "v_a" / "1.ppm").write_bytes(b"")
    foreign = ForeignFeatures(tmp_path, tmp_path)
    with pytest.raises(KeyError, match=r"no file v_a/1\.\*"):
        foreign.locate("v_a/1.ppm")
    (tmp_path / "v_a" / "1.ppm.d2-net").write_bytes(b"")
    assert foreign.locate("v_a/1.ppm") == tmp_path / "v_a" / "1.ppm.d2-net"
    (tmp_path / "v_a" / "1.ppm.other").write_bytes(b"")
    with pytest.raises(KeyError, match="2 files"):
        foreign.locate("v_a/1.ppm")
    with pytest.raises(FileNotFoundError, match="no features at"):
        ForeignFeatures(tmp_path / "none.h5", tmp_path).locate("v_a/1.ppm")


def write_hloc(rendered: Path, run_out: Path, folder: Path) -> tuple[Path, Path]:
    """The run's own features and matches as hloc would have written them: no recipe, another
    extension in the names.
    """
    stored = stored_methods(run_out)[0]
    with h5py.File(stored.features) as ours, h5py.File(folder / "feats.h5", "w") as theirs:
        for sequence in ours:
            for name, group in ours[sequence].items():
                target = theirs.create_group(f"{sequence}/{Path(name).stem}.ppm")
                for field in ("keypoints", "descriptors", "scores", "image_size"):
                    target[field] = group[field][()]
    with h5py.File(stored.matches) as ours, h5py.File(folder / "matches.h5", "w") as theirs:
        for name0 in ours:
            for name1, group in ours[name0].items():
                target = theirs.create_group(f"{name0}/{name1}")
                target["matches0"] = group["matches0"][()].astype(np.int16)
    return folder / "feats.h5", folder / "matches.h5"


def test_scores_hloc_files_like_our_own(run, rendered, tmp_path):
    report, out = run
    features, matches = write_hloc(rendered, out, tmp_path)
    methods = [
        ForeignMethod("matched-here", features),
        ForeignMethod("their-matches", features, matches),
    ]
    foreign = evaluate(
        read_benchmark(rendered),
        tmp_path / "out",
        methods,
        protocol_named("dift"),
        draws=60,
        pictures=0,
    )
    for name in ("matched-here", "their-matches"):
        own, theirs = (
            report.results["methods"]["rootsift"]["all"],
            foreign.results["methods"][name]["all"],
        )
        assert {k: theirs[k] for k in ("acc@3", "matches", "mma@3")} == {
            k: own[k] for k in ("acc@3", "matches", "mma@3")
        }
    with pytest.raises(KeyError, match=r"has no features for v_new/1\.png"):
        ForeignFeatures(features, rendered).locate("v_new/1.png")


def test_foreign_method_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(ValueError, match="expected cosine or l2"):
        ForeignMethod("x", tmp_path, metric="dot")
    with pytest.raises(ValueError, match="unit descriptors"):
        ForeignMethod("x", tmp_path, metric="l2", ratio=0.8)


def test_an_npz_damaged_inside_is_one_line(tmp_path):
    file, random = tmp_path / "a.npz", np.random.default_rng(0)
    np.savez_compressed(file, keypoints=random.random((90, 2)), descriptors=random.random((90, 9)))
    data = bytearray(file.read_bytes())
    at = data.index(b"PK", 50)  # the second array; what stands before it is compressed
    data[at - 200 : at - 100] = bytes(100)
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"a.npz is no npz with keypoints and descriptors"):
        read_npz_features(file, (9, 9))


@pytest.mark.parametrize("broken", ["keypoints", "descriptors"])
def test_an_npz_with_nan_is_refused(tmp_path, broken):
    arrays = {"keypoints": np.ones((4, 2)), "descriptors": np.ones((4, 3))}
    arrays[broken][1] = np.nan
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a.npz: {broken} hold NaN"):
        read_npz_features(tmp_path / "a.npz", (9, 9))
