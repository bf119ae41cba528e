"""Vectors of whole images, against plain loops, and what they find."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dift_geo.errors import InputError
from dift_geo.pairs.retrieval import (
    Pooling,
    pool_images,
    rank_loops,
    rank_retrieval,
)
from dift_geo.pairs.sampled import principal_axes, sample_descriptors
from dift_geo.types import Features, Keypoints


def features_of(rows: np.ndarray) -> Features:
    n = len(rows)
    return Features(Keypoints(np.zeros((n, 2)), np.ones(n), (9, 9)), rows)


def walk(images: int = 12, seen: int = 60, step: int = 20, dim: int = 24, ring: bool = False):
    """Images along a row of things, each of which looks like itself with noise."""
    random = np.random.default_rng(1)
    things = random.standard_normal((step * images + (0 if ring else seen), dim))
    found = {}
    for i in range(images):
        rows = np.take(things, range(i * step, i * step + seen), axis=0, mode="wrap")
        rows = rows + 0.1 * random.standard_normal(rows.shape)
        found[f"{i:02}"] = features_of(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return found


def kernel_by_loops(pooling: Pooling, one: Features, other: Features) -> float:
    """The kernel of the paper, word by word, in double precision."""
    sums = []
    for features in (one, other):
        of_words = np.zeros(pooling.words.shape)
        for row in features.descriptors.astype(np.float64):
            y = (row - pooling.mean) @ pooling.axes
            y /= np.linalg.norm(y)
            word = min(range(len(of_words)), key=lambda k: np.linalg.norm(y - pooling.words[k]))
            of_words[word] += y - pooling.words[word]
        sums.append(of_words)
    total = 0.0
    for a, b in zip(*sums):
        if a.any() and b.any():
            total += max(0, a @ b / np.linalg.norm(a) / np.linalg.norm(b)) ** 3
    return total


def test_products_of_vectors_are_the_kernel_of_the_paper() -> None:
    images = walk(5, seen=40)
    names = list(images)
    vectors = pool_images(images, names)
    pooling = Pooling(sample_descriptors(images, names, 10**5, 0))
    assert len(pooling.words) == 5 * 40 // 8
    every = [kernel_by_loops(pooling, images[a], images[b]) for a in names for b in names]
    kernel = np.array(every).reshape(5, 5)
    length = np.sqrt(np.diag(kernel))
    values, axes = np.linalg.eigh(kernel / length / length[:, None])
    nearest = axes * values.clip(0) @ axes.T  # without what no vectors have
    length = np.sqrt(np.diag(nearest))
    np.testing.assert_allclose(vectors @ vectors.T, nearest / length / length[:, None], atol=2e-4)


def test_with_few_landmarks_neighbours_are_still_found(monkeypatch) -> None:
    monkeypatch.setattr("dift_geo.pairs.retrieval.LANDMARKS", 8)
    images = walk()
    vectors = pool_images(images, list(images))
    assert vectors.shape == (12, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    ranking = rank_retrieval(list(images), vectors, 4)
    assert {*pairwise(images)} <= {*ranking}


def test_principal_axes_are_those_of_a_singular_value_decomposition() -> None:
    sample = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32) * [5, 4, 3, 2, 1]
    mean, axes = principal_axes(sample.astype(np.float32), 3)
    _, _, rows = np.linalg.svd(sample - sample.mean(0))
    np.testing.assert_allclose(np.abs(np.sum(rows[:3].T * axes, 0)), 1, atol=1e-5)
    np.testing.assert_allclose(mean, sample.mean(0), atol=1e-5)
    assert principal_axes(sample.astype(np.float32), 9)[1].shape == (5, 5)


def test_neighbours_on_a_walk_are_found() -> None:
    images = walk()
    names = list(images)
    ranking = rank_retrieval(names, pool_images(images, names), 2)
    expected = {*pairwise(names)}
    assert {pair for pair, rank in ranking.items() if rank == 1} <= expected
    assert {*ranking} >= expected


def test_loops_are_where_a_walk_comes_back() -> None:
    images = walk(14, ring=True)
    names = list(images)
    vectors = pool_images(images, names)
    ranking = rank_loops(names, vectors, 1, gap=10)
    assert ranking["00", "13"] == 1
    assert all(int(b) - int(a) > 10 for a, b in map(sorted, ranking))
    assert rank_loops(names, vectors, 3, gap=13) == {}


def test_an_image_without_keypoints_is_like_none_and_blocks_do_not_matter(monkeypatch) -> None:
    images = walk() | {"empty": features_of(np.zeros((0, 24)))}
    names = sorted(images)
    vectors = pool_images(images, names)
    whole = rank_retrieval(names, vectors, 3)
    assert not any("empty" in pair for pair in whole)
    monkeypatch.setattr("dift_geo.pairs.retrieval.BLOCK", 2)
    assert rank_retrieval(names, vectors, 3) == whole


def test_samples_take_as_much_of_every_image_and_no_more_than_asked() -> None:
    images = walk()
    sample = sample_descriptors(images, list(images), 120, 0)
    assert len(sample) == 120
    owners = [
        next(n for n, f in images.items() if (f.descriptors == row).all(1).any()) for row in sample
    ]
    assert {owners.count(name) for name in images} == {10}
    assert (sample == sample_descriptors(images, list(images), 120, 0)).all()
    assert len(sample_descriptors(images, list(images), 10**6, 0)) == 12 * 60


def test_what_cannot_be_pooled_is_told() -> None:
    none = {"a": features_of(np.zeros((0, 8))), "b": features_of(np.zeros((3, 0)))}
    with pytest.raises(InputError, match="none of the 2 images has descriptors"):
        pool_images(none, ["a", "b"])
    two = {"a": features_of(np.ones((2, 8))), "b": features_of(np.ones((2, 9)))}
    with pytest.raises(InputError, match="different lengths"):
        pool_images(two, ["a", "b"])
    with pytest.raises(InputError, match="got 1 vectors of 2 images"):
        rank_retrieval(["a", "b"], np.ones((1, 3), np.float32), 2)
