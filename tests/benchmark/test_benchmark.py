"""The benchmark: protocols against hand-computed cases and the released evaluation, the loop on
rendered sequences.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from dift_geo.benchmark.foreign import (
    AtKeypoints,
    ForeignFeatures,
    read_npz_features,
    squared_distance_rows,
)
from dift_geo.benchmark.homography.data import (
    LARGE_SEQUENCES,
    kind_of,
    read_benchmark,
    read_homography,
)
from dift_geo.benchmark.homography.protocols import PROTOCOLS, protocol_named, short_side_wh
from dift_geo.benchmark.homography.score import (
    Frame,
    corner_distance_px,
    corners_of,
    faces_camera,
    in_frame,
    score,
    strongest,
    symmetric_precision,
)
from dift_geo.benchmark.methods import (
    ForeignMethod,
    Method,
    ShortSide,
    method_from_words,
    stored_methods,
)
from dift_geo.benchmark.run import evaluate
from dift_geo.benchmark.table import Bootstrap, ScoreTable, resampled_auc
from dift_geo.cli.main import main
from dift_geo.detectors.listed import read_keypoint_file
from dift_geo.extractor import build_extractor
from dift_geo.geometry.curves import auc
from dift_geo.geometry.homography import warp_points
from dift_geo.report.markdown import compare_runs, group_sequences, read_pairs_csv
from dift_geo.types import Features, Keypoints

FIXTURE = Path(__file__).parent.parent / "fixtures" / "released_evaluation.npz"
SIZE_WH = (200, 150)


def homography(sequence: str, index: int) -> np.ndarray:
    """Truth of the rendered sequences: identity for light, a growing tilt for viewpoint."""
    if sequence.startswith("i_"):
        return np.eye(3)
    k = index - 1
    return np.array(
        [
            [1 - 0.02 * k, 0.03 * k, 2.0 * k],
            [-0.02 * k, 1 + 0.01 * k, -1.5 * k],
            [1e-4 * k, -5e-5 * k, 1],
        ]
    )


def render(
    root: Path, texture, sequences=("i_lamp", "v_wall"), images: int = 6, extension: str = "png"
) -> Path:
    """A folder in HPatches layout with exact homographies."""
    for seed, sequence in enumerate(sequences):
        first = texture(SIZE_WH, seed)
        (root / sequence).mkdir(parents=True)
        for k in range(1, images + 1):
            H = homography(sequence, k)
            view = (
                cv2.warpPerspective(first, H, SIZE_WH, borderMode=cv2.BORDER_REFLECT)
                if k > 1
                else first
            )
            if sequence.startswith("i_"):
                view = np.clip(view * (1 - 0.1 * (k - 1)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / sequence / f"{k}.{extension}"), view[..., ::-1])
            if k > 1:
                np.savetxt(root / sequence / f"H_1_{k}", H)
    return root


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, texture) -> Path:
    """Two sequences that tests only read."""
    return render(tmp_path_factory.mktemp("benchmark") / "hp", texture)


def rootsift(**options):
    return build_extractor(descriptor="rootsift", size=None, **{"max_keypoints": 150, **options})


@pytest.fixture(scope="module")
def run(rendered, tmp_path_factory):
    """One finished run with two methods, shared by the tests that read it: (report, OUT)."""
    out = tmp_path_factory.mktemp("run") / "out"
    methods = [Method("rootsift", rootsift()), Method("few", rootsift(max_keypoints=40), ratio=0.9)]
    return evaluate(
        read_benchmark(rendered), out, methods, protocol_named("dift"), draws=60, pictures=1
    ), out


# the folder


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


def test_kind_and_groups():
    assert [kind_of(name) for name in ("i_dc", "v_wall", "wall", "vall")] == ["i", "v", None, None]
    groups = group_sequences(["i_dc", "v_wall", "wall"], {"mine": ["wall"]})
    assert groups == {
        "all": ["i_dc", "v_wall", "wall"],
        "i": ["i_dc"],
        "v": ["v_wall"],
        "mine": ["wall"],
    }
    assert "i" not in group_sequences(["v_wall"])
    with pytest.raises(ValueError, match="cannot hold"):
        group_sequences(["v_wall"], {"mine": ["v_bark"]})
    with pytest.raises(ValueError, match="reserved"):
        group_sequences(["v_wall"], {"all": ["v_wall"]})


# protocols


def test_corner_lists_and_their_errors_by_hand():
    np.testing.assert_array_equal(corners_of((8, 6), "centres"), [[0, 0], [0, 5], [7, 0], [7, 5]])
    np.testing.assert_array_equal(corners_of((8, 6), "edges"), [[0, 0], [0, 6], [8, 0], [8, 6]])
    empty = np.zeros((0, 2))
    frame = Frame(empty, empty, np.eye(3), (8, 6))
    moved = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert corner_distance_px(moved, frame, "centres") == pytest.approx(5)
    stretched = np.diag([1.5, 1, 1])  # only the right corners move: by 7/2 or 8/2
    assert corner_distance_px(stretched, frame, "centres") == pytest.approx(3.5 / 2)
    assert corner_distance_px(stretched, frame, "edges") == pytest.approx(4 / 2)
    # the same homography
    assert corner_distance_px(-stretched, frame, "edges") == pytest.approx(4 / 2)
    assert corner_distance_px(None, frame, "edges") == np.inf


def test_a_horizon_through_the_image_is_a_failure():
    H = np.array([[1.0, 0, 0], [0, 1, 0], [-0.25, 0, 1]])  # depth 1 - x/4 changes sign at x = 4
    assert faces_camera(H, corners_of((4, 4), "centres"))
    assert not faces_camera(H, corners_of((8, 6), "centres"))
    assert (
        corner_distance_px(
            H, Frame(np.zeros((0, 2)), np.zeros((0, 2)), np.eye(3), (8, 6)), "centres"
        )
        == np.inf
    )


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1000, 700), (685, 480)),
        ((700, 1000), (480, 685)),
        ((50, 50), (480, 480)),
    ],
)
def test_short_side(size_wh, expected):
    assert short_side_wh(size_wh, 480) == expected


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_truth_stays_true_in_every_frame(name):
    protocol = PROTOCOLS[name]
    H = homography("v_x", 5)
    xy0 = np.random.default_rng(0).uniform(0, 140, (20, 2))
    frame = in_frame(protocol, xy0, warp_points(H, xy0), H, (200, 150), (180, 240))
    error = np.abs(warp_points(frame.H_true, frame.xy0) - frame.xy1)
    if protocol.corners == "centres":
        np.testing.assert_allclose(error, 0, atol=1e-9)
    else:  # read as COLMAP's frame: off by the half pixels that do not cancel, and no more
        assert 0.01 < error.max() < 2
    assert frame.size_wh == ((200, 150) if protocol.short_side is None else (640, 480))


def test_gluefactory_frame_by_hand():
    protocol = protocol_named("gluefactory")
    H = np.array([[1.0, 0, 10], [0, 1, 20], [0, 0, 1]])
    frame = in_frame(protocol, [[0, 0]], [[10, 20]], H, (960, 960), (480, 480))
    np.testing.assert_allclose(frame.xy0, [[0.25, 0.25]])  # (0 + 0.5) / 2
    np.testing.assert_allclose(frame.xy1, [[10.5, 20.5]])
    # x -> 2x in original pixels, plus 10
    np.testing.assert_allclose(frame.H_true, [[2, 0, 10], [0, 2, 20], [0, 0, 1]])
    assert frame.size_wh == (480, 480)


def frame_with_errors(errors, size_wh=(100, 80)) -> Frame:
    """Matches whose one-way errors under the identity are exactly these."""
    xy0 = np.random.default_rng(1).uniform(10, 70, (len(errors), 2))
    return Frame(xy0, xy0 + np.array(errors)[:, None] * (0.6, 0.8), np.eye(3), size_wh)


def test_correct_matches_and_precision_by_hand():
    row = score(
        frame_with_errors([0, 0, 0, 0, 0.5, 1.5, 2.5, 50]),
        protocol_named("mma"),
        sequence="v",
        index=2,
        scores=np.ones(8),
    )
    assert row.matches == 8
    assert row.correct[:3] == (5, 6, 7)
    assert row.correct[9] == 7
    np.testing.assert_allclose(
        symmetric_precision(frame_with_errors([0, 0.5, 1.5, 5])), (0.5, 0.75)
    )


def test_symmetric_precision_averages_both_directions():
    H = np.diag([4.0, 4, 1])  # an error of 2 px forth is 0.5 px back: 1.25 on average
    frame = Frame(np.array([[10.0, 10]]), np.array([[42.0, 40]]), H, (100, 100))
    assert symmetric_precision(frame) == (0.0, 1.0)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_too_few_matches_are_failures_not_omissions(name, count):
    frame = frame_with_errors([0.0] * count)
    row = score(frame, protocol_named(name), sequence="i_a", index=3, scores=np.ones(count))
    assert row.corner_px == np.inf
    assert row.inliers == 0
    assert row.correct == (count,) * 10
    summary = ScoreTable((row,), (1, 3, 5)).summary()
    assert summary["acc@5"] == 0
    assert summary["auc@5"] == 0
    assert summary["failed"] == 1
    assert summary["mma@3"] == (1 if count else 0)


def test_exact_matches_score_full_marks_under_every_protocol():
    frame = frame_with_errors([0.0] * 30)
    for name, protocol in PROTOCOLS.items():
        row = score(frame, protocol, sequence="i_a", index=2, scores=np.linspace(0.5, 1, 30))
        summary = ScoreTable((row,), protocol.auc_px).summary()
        assert summary["acc@1"] == summary["mma@1"] == 1, name
        assert summary[f"auc@{protocol.auc_px[0]}"] > 0.99, name
        assert set(protocol.headline) <= set(summary)
        if protocol.extras:
            assert summary["auc_dlt@1"] > 0.99
            assert summary["prec@1"] == 1


def test_keeps_the_strongest_matches_in_their_order():
    np.testing.assert_array_equal(strongest([0.1, 0.9, 0.5, 0.9], 3), [1, 2, 3])
    np.testing.assert_array_equal(strongest([0.9, 0.9, 0.9], 2), [0, 1])
    np.testing.assert_array_equal(strongest([0.1, 0.2], None), [0, 1])
    assert len(strongest([], 5)) == 0


def test_estimator_of_a_protocol_can_be_changed():
    dift = protocol_named("dift").with_estimator("ransac")
    assert (dift.ransac.estimator, dift.ransac.max_error_px, dift.ransac.max_iterations) == (
        "ransac",
        3.0,
        2000,
    )
    assert protocol_named("gluefactory").with_estimator("ransac").ransac.max_iterations == 3000
    assert protocol_named("mma").with_estimator(None, 1.5).ransac.max_error_px == 1.5
    with pytest.raises(ValueError, match="expected a positive number"):
        protocol_named("mma").with_estimator(None, 0)
    with pytest.raises(ValueError, match="expected one of dift, gluefactory, loftr, mma"):
        protocol_named("hpatches")


def test_best_threshold_is_chosen_by_mean_area(run, rendered, tmp_path, monkeypatch):
    _, out = run
    monkeypatch.setattr("dift_geo.benchmark.homography.protocols.SWEEP_PX", (1e-4, 3.0))
    benchmark, methods = read_benchmark(rendered), stored_methods(out)
    protocol = protocol_named("dift").with_estimator("ransac")
    single, swept = (
        evaluate(
            benchmark,
            tmp_path / str(limit),
            methods,
            protocol.with_estimator(None, limit),
            draws=5,
            pictures=0,
        )
        for limit in (3.0, "best")
    )
    for name, method in swept.results["methods"].items():
        # four matches never lie within 1e-4 px
        assert swept.results["recipe"]["methods"][name]["max_error_px"] == 3.0
        assert method["all"] == single.results["methods"][name]["all"]
    assert "the best of 0.0001 to 3 px per method" in swept.markdown()
    assert swept.with_threshold_of("few").ransac.max_error_px == 3.0


# numbers and intervals


def table(errors, sequences, auc_px=(1, 3, 5)) -> ScoreTable:
    rows = []
    for place, (error, sequence) in enumerate(zip(errors, sequences)):
        row = score(
            frame_with_errors([0.5, 2.5, 20]),
            protocol_named("mma"),
            sequence=sequence,
            index=2 + place,
            scores=np.ones(3),
        )
        rows.append(
            type(row)(
                **{**{f: getattr(row, f) for f in row.__dataclass_fields__}, "corner_px": error}
            )
        )
    return ScoreTable(tuple(rows), auc_px)


def test_summary_by_hand():
    summary = table([0.5, 2, 4, np.inf], ["i_a", "i_a", "v_b", "v_b"]).summary()
    assert [summary[f"acc@{t}"] for t in (1, 3, 5)] == [0.25, 0.5, 0.75]
    assert summary["mma@1"] == pytest.approx(1 / 3)
    assert summary["correct@3"] == 2
    assert summary["failed"] == 0.25
    # curve (0,0) (0.5,.25) (1,.25): trapezoids 0.0625 + 0.125
    assert summary["auc@1"] == pytest.approx(0.1875)
    assert summary["maa"] == pytest.approx(np.mean([summary[f"auc@{t}"] for t in (1, 3, 5)]))


def test_bootstrap_equals_resampling_by_hand():
    sequences = ["a", "a", "b", "c", "c", "c"]
    scores = table([0.2, 0.9, 2, 4, np.inf, 2.5], sequences)
    bootstrap = Bootstrap(["a", "b", "c"], draws=20, seed=3)
    samples = bootstrap.samples(scores)
    picks = np.random.default_rng(3).integers(0, 3, (20, 3))
    for draw, pick in enumerate(picks):
        rows = [row for i in pick for row in scores.rows if row.sequence == "abc"[i]]
        expected = ScoreTable(tuple(rows), scores.auc_px).summary()
        for name in ("acc@1", "acc@5", "mma@3", "matches", "auc@3", "maa"):
            assert samples[name][draw] == pytest.approx(expected[name]), (name, draw)
    assert (
        bootstrap.intervals(samples)["acc@3"]
        == np.percentile(samples["acc@3"], [2.5, 97.5]).tolist()
    )


@pytest.mark.parametrize(
    "errors", [[], [np.inf, np.inf], [0.0, 0.0, 0.0], [0.5, 0.5, 3, 3, 7, np.inf]]
)
def test_resampled_area_is_the_area_of_the_resample(errors):
    errors = np.array(errors, np.float64)
    weights = np.random.default_rng(0).integers(0, 4, (30, len(errors)))
    for limit in (0.5, 1, 5):
        expected = [auc(np.repeat(errors, weight), [limit])[0] for weight in weights]
        np.testing.assert_allclose(resampled_auc(errors, limit, weights), expected, atol=1e-12)


def test_differences_are_paired():
    sequences = [f"v_{i}" for i in range(12)]
    errors = np.linspace(0.1, 8, 12)
    bootstrap = Bootstrap(sequences, draws=200)
    base, same, better = (
        bootstrap.samples(table(e, sequences)) for e in (errors, errors, errors / 2)
    )
    assert bootstrap.differences(same, base)["acc@3"] == [0, 0]  # unpaired it would be wide
    low, high = bootstrap.differences(better, base)["acc@3"]
    assert 0 < low <= 4 / 12 <= high
    assert Bootstrap(["v_0"]).intervals(base)["acc@3"] is None


def test_no_pairs_have_no_numbers():
    assert ScoreTable((), (1,)).summary() == {}


# the loop


def test_results_hold_what_the_readme_promises(run):
    report, out = run
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"] == "dift"
    assert results["pairs"] == 10
    assert {"recipe", "versions", "command", "methods", "differences", "problems"} <= set(results)
    assert results["versions"]["torch"]
    for name in ("rootsift", "few"):
        method = results["methods"][name]
        assert set(method) == {"all", "i", "v", "intervals", "sequences"}
        for group in ("all", "i", "v"):
            for metric in (
                "acc@1",
                "acc@3",
                "acc@5",
                "mma@3",
                "matches",
                "correct@3",
                "auc@1",
                "auc@5",
            ):
                assert isinstance(method[group][metric], float)
        assert set(method["sequences"]) == {"i_lamp", "v_wall"}
        low, high = method["intervals"]["all"]["acc@3"]
        assert low <= method["all"]["acc@3"] <= high
        assert method["intervals"]["i"]["acc@3"] is None  # one sequence
    good = results["methods"]["rootsift"]["all"]
    assert good["acc@5"] > 0.8
    assert good["mma@3"] > 0.7
    gap = results["differences"]["few - rootsift"]["all"]["matches"]
    assert gap["difference"] == pytest.approx(
        results["methods"]["few"]["all"]["matches"] - good["matches"]
    )
    assert gap["interval"][1] < 0
    assert "| few |" in (out / "results.md").read_text()
    assert report.results["methods"] == results["methods"]


def test_the_overall_mean_counts_pairs_once(run):
    report, _ = run
    method = report.results["methods"]["rootsift"]
    assert method["all"]["mma@3"] == pytest.approx(
        (method["i"]["mma@3"] + method["v"]["mma@3"]) / 2
    )


def test_pairs_csv_is_enough_to_recompute(run):
    report, out = run
    again = read_pairs_csv(out / "pairs.csv", report.protocol.auc_px)
    assert again["rootsift"].summary() == report.tables["rootsift"].summary()
    with (out / "pairs.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + 2 * 10


def test_pictures_are_drawn(run):
    _, out = run
    for name in ("mma.png", "accuracy.png", "sequences.png"):
        assert cv2.imread(str(out / "pictures" / name)) is not None
    assert len(list((out / "pictures" / "rootsift").glob("best1_*.png"))) == 1
    assert len(list((out / "pictures" / "rootsift").glob("worst1_*.png"))) == 1


class Refuses:
    """An extractor with the recipe of another that must not be asked for features."""

    def __init__(self, like):
        self.like = like

    def extract(self, image, name):
        raise AssertionError("features were cached")

    def recipe(self):
        return self.like.recipe()


def test_second_run_extracts_and_matches_nothing(run, rendered, tmp_path):
    report, out = run
    again = evaluate(
        read_benchmark(rendered), tmp_path, [Method("rootsift", Refuses(rootsift()))], protocol_named("dift"),
        cache=out / "cache", draws=60, pictures=0,
    )  # fmt: skip
    assert again.results["methods"]["rootsift"] == report.results["methods"]["rootsift"]


def test_stores_alone_are_enough_for_another_estimator(run, tmp_path, rendered):
    report, out = run
    methods = stored_methods(out)
    assert [method.name for method in methods] == ["rootsift", "few"]
    protocol = protocol_named("dift").with_estimator("magsac")
    again = evaluate(read_benchmark(rendered), tmp_path, methods, protocol, draws=20, pictures=0)
    own, old = (r.results["methods"]["rootsift"]["all"] for r in (again, report))
    assert own["mma@3"] == old["mma@3"]
    assert again.results["recipe"]["protocol"]["ransac"]["estimator"] == "magsac"
    with pytest.raises(ValueError, match="short side unchanged, protocol loftr expects 480"):
        evaluate(read_benchmark(rendered), tmp_path, methods, protocol_named("loftr"))
    with pytest.raises(FileNotFoundError, match="--cached needs"):
        stored_methods(tmp_path / "none")


@pytest.mark.parametrize("name", ["gluefactory", "loftr", "mma"])
def test_other_protocols_run_on_the_same_folder(rendered, tmp_path, name):
    if name == "gluefactory":
        pytest.importorskip("poselib")
    benchmark = read_benchmark(rendered, sequences=["v_wall"])
    report = evaluate(
        benchmark, tmp_path, [Method("s", rootsift())], protocol_named(name), draws=10, pictures=0
    )
    found = report.results["methods"]["s"]["all"]
    assert found["mma@3"] > 0.6
    assert found[f"auc@{report.protocol.auc_px[-1]}"] > 0.3
    assert all(metric in found for metric in report.protocol.headline)


def test_short_side_shows_the_resized_image_and_answers_in_the_original():
    class Sees:
        def extract(self, image, name):
            self.shape = image.shape
            h, w = image.shape[:2]
            corners = Keypoints(np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]]), np.ones(2), (w, h))
            return Features(corners, np.ones((2, 4)))

        def recipe(self):
            return {"detector": "corners"}

    sees = Sees()
    features = ShortSide(sees, 480).extract(np.zeros((150, 200, 3), np.uint8), "a")
    assert sees.shape == (480, 640, 3)
    assert features.keypoints.size_wh == (200, 150)
    np.testing.assert_allclose(features.keypoints.xy, [[-0.5, -0.5], [199.5, 149.5]], atol=1e-4)
    assert ShortSide(sees, 480).recipe() == {"detector": "corners", "short_side": 480}


def test_unreadable_images_take_their_pairs_along_and_are_named(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("i_a", "v_b"), 3)
    (root / "v_b" / "2.png").write_bytes(b"not an image")
    (root / "i_a" / "1.png").write_bytes(b"")
    report = evaluate(
        read_benchmark(root),
        tmp_path / "out",
        [Method("s", rootsift())],
        protocol_named("mma"),
        draws=5,
        pictures=0,
    )
    assert report.results["pairs"] == 1
    text = "\n".join(report.results["problems"])
    assert "v_b/2.png cannot be read; its pairs are left out" in text
    assert "i_a/1.png cannot be read" in text
    assert "left out: v_b/2.png" in (tmp_path / "out" / "results.md").read_text()


def test_truth_behind_the_camera_is_named(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("v_b",), 3)
    (root / "v_b" / "H_1_2").write_text("1 0 0 0 1 0 -0.02 0 1")
    methods = [Method("s", rootsift())]
    report = evaluate(
        read_benchmark(root), tmp_path / "out", methods, protocol_named("dift"), draws=5, pictures=0
    )
    assert (
        "v_b: H_1_2 carries a corner of image 1 behind the camera; pair 1-2 is left out"
        in report.results["problems"]
    )
    (root / "v_b" / "H_1_3").write_text("1 0 0 0 1 0 -0.02 0 1")
    with pytest.raises(ValueError, match="no usable pair"):
        evaluate(
            read_benchmark(root), tmp_path / "out2", methods, protocol_named("dift"), pictures=0
        )


def test_images_without_keypoints_count_as_failures(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("i_a",), 3)
    for k in (1, 2, 3):
        cv2.imwrite(str(root / "i_a" / f"{k}.png"), np.full((150, 200, 3), 128, np.uint8))
    report = evaluate(
        read_benchmark(root),
        tmp_path / "out",
        [Method("s", rootsift())],
        protocol_named("dift"),
        draws=5,
        pictures=1,
    )
    found = report.results["methods"]["s"]["all"]
    assert (found["pairs"], found["failed"], found["matches"], found["acc@5"], found["mma@3"]) == (
        2,
        1,
        0,
        0,
        0,
    )
    json.loads((tmp_path / "out" / "results.json").read_text())  # no NaN, no infinity


def test_method_names_must_differ(rendered, tmp_path):
    with pytest.raises(ValueError, match="different names"):
        evaluate(
            read_benchmark(rendered), tmp_path, [Method("a", rootsift())] * 2, protocol_named("mma")
        )
    with pytest.raises(ValueError, match="expected letters"):
        Method("a/b", rootsift())


def test_a_method_in_words():
    defaults = {
        "detector": "sift",
        "descriptor": "dift",
        "max_keypoints": 1000,
        "size": None,
        "ratio": None,
        "min_similarity": None,
    }
    method = method_from_words("plain:descriptor=rootsift,max-keypoints=70,ratio=0.8", defaults)
    assert (method.name, method.ratio) == ("plain", 0.8)
    assert method.extractor.detector.max_keypoints == 70
    with pytest.raises(ValueError, match="expected flag=value with one of"):
        method_from_words("plain:colour=red", defaults)


# foreign features


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
        assert (row.sequence, row.index, row.matches) == (
            ("i_flat", "v_tilt")[int(is_v)],
            k,
            matches,
        )
        assert [row.corner_px <= t for t in (1, 3, 5)] == [distance <= t for t in (1, 3, 5)]
        if np.isfinite(row.corner_px):
            assert row.corner_px == pytest.approx(distance, rel=1e-6)


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


def test_describes_at_given_keypoints(tmp_path, picture):
    (tmp_path / "v_a-1.kp").write_text("10.5 20\n\n30 40 0.9\n10.5 20\n")
    np.testing.assert_array_equal(
        read_keypoint_file(tmp_path / "v_a-1.kp"), [[10.5, 20], [30, 40], [10.5, 20]]
    )

    class Reads:
        def describe(self, image, keypoints, name=""):
            return keypoints.xy.astype(np.float32)

        def recipe(self):
            return {"reads": "places"}

    at = AtKeypoints([Reads()], tmp_path)
    features = at.extract(picture, "v_a/1.png")
    np.testing.assert_allclose(features.descriptors, [[10.5, 20], [30, 40]])
    small = cv2.resize(picture, (160, 120))
    # the same places in the smaller image
    seen = at.extract_resized(small, "v_a/1.png", (320, 240))
    np.testing.assert_allclose(seen.descriptors, [[5, 9.75], [14.75, 19.75]])
    back = ShortSide(at, 120).extract(picture, "v_a/1.png")
    np.testing.assert_allclose(back.keypoints.xy, [[10.5, 20], [30, 40]], atol=1e-4)
    with pytest.raises(FileNotFoundError, match="no keypoints at"):
        at.extract(picture, "v_a/2.png")
    (tmp_path / "v_a-2.kp").write_text("ten twenty")
    with pytest.raises(ValueError, match="no list of"):
        at.extract(picture, "v_a/2.png")
    (tmp_path / "v_a-2.kp").write_text("")
    assert len(at.extract(picture, "v_a/2.png")) == 0


def test_foreign_method_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(ValueError, match="expected cosine or l2"):
        ForeignMethod("x", tmp_path, metric="dot")
    with pytest.raises(ValueError, match="unit descriptors"):
        ForeignMethod("x", tmp_path, metric="l2", ratio=0.8)


# side by side


def test_runs_side_by_side(run, rendered, tmp_path):
    report, out = run
    methods = [Method("rootsift", rootsift(max_keypoints=60))]
    other = evaluate(
        read_benchmark(rendered),
        tmp_path / "other",
        methods,
        protocol_named("dift"),
        draws=60,
        pictures=0,
    )
    both = compare_runs([out, tmp_path / "other"])
    assert list(both.tables) == ["out/rootsift", "few", "other/rootsift"]
    names = both.results["methods"]
    assert names["out/rootsift"]["all"] == report.results["methods"]["rootsift"]["all"]
    assert names["other/rootsift"]["all"] == other.results["methods"]["rootsift"]["all"]
    assert "other/rootsift - out/rootsift" in both.results["differences"]
    shutil.copytree(tmp_path / "other", tmp_path / "loftr")
    path = tmp_path / "loftr" / "results.json"
    path.write_text(path.read_text().replace('"protocol": "dift"', '"protocol": "loftr"'))
    with pytest.raises(ValueError, match="different protocols"):
        compare_runs([out, tmp_path / "loftr"])
    with pytest.raises(FileNotFoundError, match="no results"):
        compare_runs([out, tmp_path / "none"])


# the command


def test_command_evaluates_and_compares(rendered, tmp_path, capsys):
    words = [
        "evaluate",
        str(rendered),
        str(tmp_path / "a"),
        "--protocol",
        "mma",
        "--max-keypoints",
        "80",
        "--bootstrap",
        "20",
    ]
    words += [
        "--pictures",
        "0",
        "--group",
        "both=i_lamp,v_wall",
        "--method",
        "s:descriptor=rootsift",
    ]
    words += ["--method", "few:descriptor=rootsift,max-keypoints=30"]
    assert main(words) == 0
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert list(results["methods"]) == ["s", "few"]
    assert results["command"].startswith("dift-geo evaluate ")
    assert results["methods"]["s"]["both"] == results["methods"]["s"]["all"]
    assert (
        main(
            [
                "evaluate",
                str(rendered),
                str(tmp_path / "a"),
                "--protocol",
                "mma",
                "--cached",
                "--pictures",
                "0",
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert main(["evaluate", "--compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 1
    assert "cannot be told apart" in capsys.readouterr().err
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert (
        main(
            [
                "evaluate",
                str(tmp_path / "both"),
                "--compare",
                str(tmp_path / "a"),
                str(tmp_path / "b"),
            ]
        )
        == 0
    )
    assert "b/few" in capsys.readouterr().out
    assert (tmp_path / "both" / "results.md").is_file()


def test_command_takes_its_one_method_from_the_flags(rendered, tmp_path):
    words = [
        "evaluate",
        str(rendered),
        str(tmp_path),
        "--descriptor",
        "rootsift",
        "--max-keypoints",
        "40",
        "--pictures",
        "0",
    ]
    words += ["--device", "auto"]
    assert main([*words, "--sequences", "i_*", "--bootstrap", "5"]) == 0
    assert list(json.loads((tmp_path / "results.json").read_text())["methods"]) == ["rootsift"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{hp}"], "needs DATASET and OUT"),
        (["{hp}/none", "{out}"], "not a folder"),
        (["{hp}", "{out}", "--sequences", "v_zoo"], "no sequence 'v_zoo'"),
        (["{hp}", "{out}", "--method", "a:colour=red"], "expected flag=value"),
        (["{hp}", "{out}", "--features", "x"], "expected NAME=VALUE"),
        (["{hp}", "{out}", "--features", "x=/none.h5"], "no features at"),
        (
            ["{hp}", "{out}", "--features", "x={hp}", "--matches", "y=/none.h5"],
            "which no --features names",
        ),
        (
            ["{hp}", "{out}", "--descriptor", "rootsift", "--max-error", "-1"],
            "expected a positive number",
        ),
        (["{hp}", "{out}", "--cached"], "--cached needs"),
    ],
)
def test_command_says_in_one_line_what_it_cannot_do(rendered, tmp_path, capsys, words, message):
    assert main(["evaluate", *(word.format(hp=rendered, out=tmp_path) for word in words)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_command_reports_left_out_pairs_by_exit_code(tmp_path, texture, capsys):
    root = render(tmp_path / "hp", texture, ("i_a",), 3)
    words = [
        "evaluate",
        str(root),
        str(tmp_path / "out"),
        "--descriptor",
        "rootsift",
        "--bootstrap",
        "5",
        "--pictures",
        "0",
    ]
    assert main(words) == 3
    assert "left out: i_a: image 4, 5, 6 are missing" in capsys.readouterr().err


def test_planar_data_under_the_paper_protocol(data, tmp_path):
    """The research sequences where they are present: RootSIFT at a small size does what it should."""
    benchmark = read_benchmark(data / "planar", sequences=["v_graffiti", "i_leuven"])
    method = Method("rootsift", build_extractor(descriptor="rootsift", size=480, max_keypoints=400))
    report = evaluate(benchmark, tmp_path, [method], protocol_named("mma"), draws=10, pictures=0)
    assert report.results["methods"]["rootsift"]["i"]["mma@3"] > 0.5
