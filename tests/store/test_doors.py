"""What stores take and give: nothing that contradicts itself, and everything that hloc writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from stored import RECIPE, features, hloc_file, matches

from dift_geo.engine.loops import match_pairs
from dift_geo.errors import InputError, StoreError
from dift_geo.store.check import check_pair
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints

IMAGE = "query/a.jpg"
XY = np.ones((6, 2), np.float32)
ROWS = np.ones((8, 6), np.float16)


def spoilt(value: np.ndarray, number: float) -> np.ndarray:
    value = value.copy()
    value[1, 1] = number
    return value


# what stands in the place of an array of six keypoints, and what is said of it
FEATURES: dict[str, tuple[str, object, str]] = {
    "NaN descriptors": ("descriptors", spoilt(ROWS, np.nan), "descriptors holds NaN or infinity"),
    "endless descriptors": ("descriptors", spoilt(ROWS, -np.inf), "descriptors holds NaN or inf"),
    "NaN keypoints": ("keypoints", spoilt(XY, np.nan), "keypoints holds NaN or infinity, expected"),
    "endless keypoints": ("keypoints", spoilt(XY, np.inf), "keypoints holds NaN or infinity"),
    "more keypoints": ("keypoints", np.ones((7, 2)), r"shape \(8, 6\), expected \(D, 7\)"),
    "fewer descriptors": ("descriptors", ROWS[:, :5], r"shape \(8, 5\), expected \(D, 6\)"),
    "descriptors in rows": ("descriptors", ROWS.T, r"shape \(6, 8\), expected \(D, 6\)"),
    "more scores": ("scores", np.ones(7), r"scores have shape \(7,\), expected \(6,\)"),
    "one score": ("scores", 0.5, r"scores have shape \(\), expected \(6,\)"),
    "keypoints in a line": ("keypoints", np.ones(12), r"shape \(12,\), expected \(N, 2\)"),
    "keypoints of one number": ("keypoints", np.ones((6, 1)), r"\(6, 1\), expected \(N, 2\)"),
    "words for keypoints": ("keypoints", [["a", "b"]] * 6, "keypoints is of type .*, expected num"),
    "complex descriptors": ("descriptors", 1j * np.ones((8, 6)), "is of type complex128, expected"),
    "structures": ("keypoints", np.zeros(6, [("x", "f4"), ("y", "f4")]), "is of type .*, expected"),
    "no size": ("image_size", [0, 480], r"image_size is \[0, 480\], expected width and height"),
    "half a size": ("image_size", [640], r"image_size is \[640\], expected width and height"),
    "a size below": ("image_size", [-1, 9], r"image_size is \[-1, 9\], expected"),
}


@pytest.fixture
def hlocs(tmp_path: Path) -> Callable[..., Path]:
    def write(array: str, value: object) -> Path:
        hloc_file(tmp_path / "f.h5")
        with h5py.File(tmp_path / "f.h5", "a") as file:
            del file[f"{IMAGE}/{array}"]
            if value is not None:
                file[f"{IMAGE}/{array}"] = value
        return tmp_path / "f.h5"

    return write


@pytest.mark.parametrize("case", FEATURES)
def test_features_that_are_none_are_refused_by_file_and_image(hlocs, case: str) -> None:
    array, value, message = FEATURES[case]
    path = hlocs(array, value)
    with FeatureStore(path) as store:
        with pytest.raises(StoreError, match=rf"f.h5 at 'query/a.jpg': .*{message}") as refusal:
            store[IMAGE]
        assert "\n" not in str(refusal.value)
    with pytest.raises(StoreError, match=r"f.h5 at 'query/a.jpg'"):
        match_pairs(path, [(IMAGE, IMAGE)], path.with_name("m.h5"))


MATCHES: dict[str, tuple[dict[str, object], str]] = {
    "other scores": (
        {"matches0": np.zeros(5, np.int32), "matching_scores0": np.ones(4)},
        r"matching_scores0 has shape \(4,\), expected \(5,\)",
    ),
    "floats": ({"matches0": np.zeros(5)}, "matches0 is float64, expected signed integers"),
    "unsigned": ({"matches0": np.zeros(5, np.uint16)}, "matches0 is uint16, expected signed"),
    "words": ({"matches0": ["a", "b"]}, "matches0 is of type .*, expected numbers"),
    "a table": ({"matches0": np.zeros((5, 2), int)}, r"has shape \(5, 2\), expected \(N,\)"),
    "wrapped": ({"matches0": np.array([3, -25536], np.int16)}, "holds -25536, expected -1 or an"),
}


@pytest.mark.parametrize("case", MATCHES)
def test_matches_that_are_none_are_refused_by_file_and_pair(tmp_path: Path, case: str) -> None:
    arrays, message = MATCHES[case]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name, value in arrays.items():
            file[f"a/b/{name}"] = value
    with MatchStore(tmp_path / "m.h5") as store:
        for pair in (("a", "b"), ("b", "a")):
            with pytest.raises(StoreError, match=rf"m.h5 at \('a', 'b'\): .*{message}") as refusal:
                store[pair]
            assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("pairs", [[[0, 9]], [[0, 1], [5, 0]], [[0, -2]], [[-1, 0]]])
def test_indices_beyond_the_keypoints(pairs: list[list[int]]) -> None:
    check_pair(matches([]), 0, 0, ("a", "b"))
    check_pair(matches([[4, 8]]), 5, 9, ("a", "b"))
    with pytest.raises(
        InputError, match=r"matches of 'a' and 'b' use keypoint .* of '[ab]', which"
    ):
        check_pair(matches(pairs), 5, 9, ("a", "b"))


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e6])
def test_what_cannot_be_stored_is_refused_before_it_is(tmp_path: Path, number: float) -> None:
    """A damaged projection made NaN of every descriptor; half cannot hold a million."""
    rows = np.ones((5, 8), np.float32)
    rows[2, 3] = number
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        with pytest.raises(InputError, match="features of 'a': descriptors holds NaN or infinity"):
            store["a"] = Features(features(5).keypoints, rows)
        assert "a" not in store


@pytest.mark.parametrize("score", [None, "score", "scores"])
@pytest.mark.parametrize("size", [True, False])
def test_keypoints_without_descriptors_as_loftr_in_hloc(
    tmp_path: Path, score: str | None, size: bool, caplog
) -> None:
    xy = np.random.default_rng(0).uniform(0, 600, (9, 2)).astype(np.float16)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name in ("db/a.jpg", "db/b.jpg"):
            file[f"{name}/keypoints"] = xy
            if score:
                file[f"{name}/{score}"] = np.arange(9.0)
            if size:
                file[f"{name}/image_size"] = [640, 480]
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == ["db/a.jpg", "db/b.jpg"]
        assert store.count("db/a.jpg") == 9
        for name in store:
            found = store[name]
            np.testing.assert_array_equal(found.keypoints.xy, xy.astype(np.float32))
            assert found.descriptors.shape == (9, 0)
            assert found.keypoints.scores.tolist() == [*range(9)] if score else [1] * 9
            assert store.size_wh(name) == ((640, 480) if size else None)
            w, h = found.keypoints.size_wh
            assert (w, h) == (640, 480) if size else xy.max(axis=0).tolist() <= [w - 0.5, h - 0.5]
        assert store.fingerprint("db/a.jpg") == store.fingerprint("db/b.jpg")
    # said once, not for each image
    assert len(caplog.messages) == (0 if size else 1)
    assert size or "f.h5 does not say how large the images are" in caplog.text


def test_an_image_without_keypoints_and_without_a_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a/keypoints"] = np.zeros((0, 2))
    with FeatureStore(tmp_path / "f.h5") as store:
        assert len(store["a"]) == 0


def test_more_columns_than_two_are_not_coordinates(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a/keypoints"] = np.arange(12).reshape(3, 4)  # as COLMAP's, with a shape
        file["a/image_size"] = [20, 20]
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store["a"].keypoints.xy.tolist() == [[0, 1], [4, 5], [8, 9]]


@pytest.mark.parametrize("agree", [True, False])
def test_a_file_with_both_orders_gives_the_one_asked_for(
    tmp_path: Path, agree: bool, caplog
) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/b/matches0"] = np.array([-1, 0, 2], np.int16)
        file["b/a/matches0"] = np.array([1, -1, 2] if agree else [-1, -1, 0], np.int16)
    with MatchStore(tmp_path / "m.h5") as store:
        assert list(store) == [("a", "b"), ("b", "a")]
        for _ in range(2):
            assert store["a", "b"].pairs.tolist() == [[1, 0], [2, 2]]
            assert store["b", "a"].pairs.tolist() == ([[0, 1], [2, 2]] if agree else [[2, 0]])
        assert store.order_of(("b", "a")) == ("b", "a")
    assert len(caplog.messages) == (0 if agree else 1)
    assert agree or "m.h5 holds matches of 'a' and 'b' in both orders, which differ" in caplog.text


def test_an_array_without_bounds_is_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a/keypoints", (1 << 40, 2), np.float32, chunks=(1024, 2))
    with FeatureStore(tmp_path / "f.h5") as store:
        assert list(store) == ["a"]
        with pytest.raises(StoreError, match=r"f.h5 is damaged at 'a' \(keypoints claims to have"):
            store["a"]


def test_the_size_of_an_image_is_given_without_its_features(tmp_path: Path) -> None:
    kept = Keypoints(XY, np.ones(6), (640, 480))
    with FeatureStore(tmp_path / "f.h5", RECIPE) as store:
        store["a"] = Features(kept, ROWS.T)
        assert store.size_wh("a") == (640, 480)
        store.flush()
        assert store.size_wh("a") == (640, 480)
        with pytest.raises(KeyError, match="'b' is not in"):
            store.size_wh("b")
