"""What the tests of the stores share: values to store, and files as hloc writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from dift_geo.types import Features, Keypoints, Matches

RECIPE = {"detector": {"name": "sift", "n": 5}, "size": None, "layers": (1, 2)}
NAMES = [
    "a.jpg",
    "with space.png",
    "日本/ä.jpg",
    "deep/er/est/x.jpg",
    "deep/a.jpg",
    "a.jpg/b.png",
    "x/keypoints/c.png",
]


def features(n: int = 5, seed: int = 0, framed: bool = True, dim: int = 8) -> Features:
    random = np.random.default_rng(seed)
    frame = (random.uniform(1, 9, n), random.uniform(-3, 3, n)) if framed else (None, None)
    keypoints = Keypoints(random.uniform(0, 5000, (n, 2)), random.random(n), (6000, 4000), *frame)
    rows = random.standard_normal((n, dim))
    return Features(keypoints, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def matches(pairs, scores=None) -> Matches:
    pairs = np.array(pairs).reshape(-1, 2)
    return Matches(pairs, np.full(len(pairs), 0.5) if scores is None else scores)


def assert_equal(got: Features, expected: Features) -> None:
    # float32: not a bit lost
    np.testing.assert_array_equal(got.keypoints.xy, expected.keypoints.xy)
    assert got.keypoints.size_wh == expected.keypoints.size_wh
    for field in ("scale", "angle"):
        a, b = getattr(got.keypoints, field), getattr(expected.keypoints, field)
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b) if a is not None else None
    np.testing.assert_allclose(got.keypoints.scores, expected.keypoints.scores, rtol=1e-3)
    np.testing.assert_allclose(got.descriptors, expected.descriptors, atol=5e-4)


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in {".part", ".lock", ".shards"})


def hloc_file(path: Path, dtype=np.float16) -> Features:
    """As hloc's extract_features writes with --as_half: everything float16, keypoints too."""
    written = features(6)
    with h5py.File(path, "w") as file:
        group = file.create_group("query/a.jpg")
        keypoints = group.create_dataset("keypoints", data=written.keypoints.xy.astype(dtype))
        keypoints.attrs["uncertainty"] = 1.0
        group.create_dataset("descriptors", data=written.descriptors.T.astype(dtype))
        group.create_dataset("scores", data=written.keypoints.scores.astype(dtype))
        group.create_dataset("image_size", data=np.array([6000, 4000]))
    return written
