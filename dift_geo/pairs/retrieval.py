"""A vector for a whole image, pooled from its local descriptors, and the images most like each.

Aggregated selective match kernels (Tolias, Avrithis and Jegou, "To aggregate or not to aggregate",
ICCV 2013): what an image has of a word is one direction, and two images are alike by the cubes of
the positive cosines, word by word. Vectors whose products are that kernel, but for what is negative
in its spectrum, come from its eigenvectors over up to LANDMARKS images (Nystroem's method). Words
and landmarks are made from the images themselves: nothing is downloaded, and vectors of different
sets of images do not compare. Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.pairs.lists import sequences
from dift_geo.pairs.ranked import Ranking, rank_scores
from dift_geo.pairs.sampled import principal_axes, sample_descriptors
from dift_geo.types import FeatureSource

__all__ = [
    "LOOP_GAP",
    "Pooling",
    "match_kernel",
    "pool_images",
    "pooling_recipe",
    "rank_loops",
    "rank_retrieval",
]

Vectors = NDArray[np.float32]  # (images, D), unit rows; zeros where there is nothing to pool
WORDS, DIMS, POWER = 2048, 128, 3
PER_WORD = 8  # descriptors of the sample for a word, at least
SAMPLE = 40_000  # descriptors that words are made of
ROUNDS = 8  # of Lloyd's algorithm
LANDMARKS = 512  # images that the vectors' axes are made of; a megabyte of memory for each
LEAST_SHARE = 1e-6  # of the largest eigenvalue; what is below is rounding
ROWS = 4096  # descriptors compared with all words at once
BLOCK = 256  # images compared with all others at once
LOOP_GAP = 10  # images in sequence that are no loop


class Pooling:
    """How the local descriptors of an image become one direction for each word.

    mean: (D,) of the local descriptors.
    axes: (D, C) along which they vary most.
    words: (K, C) centres of what they are along these, at unit length.
    """

    def __init__(self, sample: NDArray[np.float32], words: int = WORDS, seed: int = 0) -> None:
        """What suits a sample (N, D). seed: of the words that are tried first."""
        self.mean, self.axes = principal_axes(sample, DIMS)
        rows = _unit((sample - self.mean) @ self.axes)
        self.words = _centres(rows, max(1, min(words, len(rows) // PER_WORD)), seed)

    def __call__(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (K, C), rows of unit length; zeros for words that nothing is nearest to."""
        if not len(descriptors):
            return np.zeros_like(self.words)
        rows = _unit((descriptors - self.mean) @ self.axes)
        word = _nearest(rows, self.words)
        return _unit(_sums(rows - self.words[word], word, len(self.words)))


def match_kernel(one: Tensor, many: Tensor) -> Tensor:
    """(M,): how alike pooled images are, the sum over words of the cubes of their cosines.

    A negative cosine counts for nothing: two descriptors that share a rare word lie on opposite
    sides of it, since they are all that it was made of.

    one: (K, C).
    many: (K, C, M).
    """
    cosines = torch.bmm(one[:, None], many)[:, 0]  # (K, M)
    return (cosines.clamp_min(0) ** POWER).sum(0)


def pool_images(features: FeatureSource, names: Sequence[str], seed: int = 0) -> Vectors:
    """A vector for each image, (images, D).

    Raises InputError where no image has descriptors.
    """
    pooling = Pooling(sample_descriptors(features, names, SAMPLE, seed), seed=seed)

    def pooled(name: str) -> Tensor:
        return torch.from_numpy(pooling(features[name].descriptors))

    order = np.random.default_rng(seed).permutation(len(names))[:LANDMARKS]
    landmarks = [one for one in map(pooled, (names[i] for i in np.sort(order))) if one.any()]
    if not landmarks:
        raise InputError("the images drawn to compare by have no descriptors; try another --seed")
    many = torch.stack(landmarks, 2)
    del landmarks
    norms = _norms(many)
    rows = [match_kernel(many[:, :, i].contiguous(), many) / norms for i in range(many.shape[2])]
    kernel = torch.stack(rows).double() / norms[:, None]
    values, vectors = torch.linalg.eigh(kernel)
    kept = values > LEAST_SHARE * values[-1]
    axes = (vectors[:, kept] / values[kept].sqrt()).float()
    found = [_unit(((match_kernel(pooled(name), many) / norms) @ axes).numpy()) for name in names]
    return np.array(found)


def _norms(many: Tensor) -> Tensor:
    """(M,): the lengths of pooled images (K, C, M) under the kernel, at least a tiny number."""
    return ((many**2).sum(1) ** POWER).sum(0).sqrt().clamp_min(1e-12)


def pooling_recipe(seed: int = 0) -> dict[str, object]:
    """What determines the vectors of given features."""
    made: dict[str, object] = {
        "words": WORDS,
        "dims": DIMS,
        "power": POWER,
        "sample": SAMPLE,
        "rounds": ROUNDS,
    }
    return {"name": "match-kernel", **made, "landmarks": LANDMARKS, "seed": seed}


def rank_retrieval(names: Sequence[str], vectors: Vectors, count: int) -> Ranking:
    """The `count` most similar of each image; memory grows with their number alone."""
    return rank_scores(_similarities(names, vectors), names, count)


def rank_loops(names: Sequence[str], vectors: Vectors, count: int, gap: int = LOOP_GAP) -> Ranking:
    """The same but for images that are at most `gap` apart in a sequence: where it comes back to
    what it has seen.
    """
    place = {name: i for i, name in enumerate(names)}
    beside = {
        name: [place[other] for other in group[max(0, i - gap) : i + gap + 1]]
        for group in sequences(names)
        for i, name in enumerate(group)
    }

    def rows() -> Iterator[tuple[str, NDArray]]:
        for name, scores in _similarities(names, vectors):
            scores[beside[name]] = -np.inf
            yield name, scores

    return rank_scores(rows(), names, count)


def _similarities(names: Sequence[str], vectors: Vectors) -> Iterator[tuple[str, NDArray]]:
    """Each image with its cosines to all; an image without a vector is like none."""
    if len(vectors) != len(names):
        raise InputError(
            f"got {len(vectors)} vectors of {len(names)} images, expected one for each"
        )
    none = np.asarray(~vectors.any(axis=1))
    for first in range(0, len(names), BLOCK):
        block = vectors[first : first + BLOCK] @ vectors.T
        block[:, none] = -np.inf
        block[none[first : first + BLOCK]] = -np.inf
        yield from zip(names[first : first + BLOCK], block)


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    half = (centres**2).sum(1) / 2
    starts = range(0, len(rows), ROWS)
    return np.concatenate([(rows[i : i + ROWS] @ centres.T - half).argmax(1) for i in starts])


def _sums(rows: NDArray[np.float32], word: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """(count, C): the sums of the rows of each word."""
    sums = torch.zeros((count, rows.shape[1]))
    sums.index_add_(0, torch.from_numpy(word), torch.from_numpy(rows))
    return sums.numpy()


def _centres(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """The centres (K, C) of Lloyd's algorithm; a word that nobody chooses stays where it is."""
    random = np.random.default_rng(seed)
    centres = rows[np.sort(random.permutation(len(rows))[:count])].copy()
    for _ in range(ROUNDS):
        word = _nearest(rows, centres)
        many = np.bincount(word, minlength=len(centres))[:, None]
        means = _sums(rows, word, len(centres)) / np.maximum(many, 1)
        centres = np.where(many > 0, means, centres).astype(np.float32)
    return centres
