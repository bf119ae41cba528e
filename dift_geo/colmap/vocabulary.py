"""COLMAP's vocabulary tree, grown from the images' own descriptors: which images look alike.

pycolmap 4 answers a query of its index only inside its generator of pairs, so the descriptors pass
through a database that is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.opened import opened, require_room
from dift_geo.colmap.quiet import quiet, silent
from dift_geo.errors import InputError
from dift_geo.pairs.ranked import Ranking, rank_neighbours
from dift_geo.pairs.sampled import principal_axes, sample_descriptors
from dift_geo.types import FeatureSource

if TYPE_CHECKING:
    import pycolmap

__all__ = ["rank_vocabulary", "vocabulary_neighbours"]

DIMS = 128, 256  # that COLMAP's index is made for; others are filled up with zeros or cut
EMBEDDING = 64  # the only size of its signatures
MAX_WORDS, LEAST_WORDS = 16384, 16
SAMPLED_PER_WORD = 32
ROUNDS = 10  # of the clustering
IMAGE_BYTES = 1000


def rank_vocabulary(
    features: FeatureSource, names: Sequence[str], count: int, *, seed: int = 0
) -> Ranking:
    """The same as `vocabulary_neighbours`, as ranks of pairs."""
    return rank_neighbours(vocabulary_neighbours(features, names, count, seed=seed).items())


def vocabulary_neighbours(
    features: FeatureSource, names: Sequence[str], count: int, *, seed: int = 0
) -> dict[str, list[str]]:
    """The `count` images that COLMAP's vocabulary tree finds most like each, best first.

    features: of the named images; those without keypoints are like none.
    seed: of the sample of descriptors from which the words are made.

    Raises InputError where no image has descriptors.
    """
    import pycolmap

    sample = sample_descriptors(features, names, MAX_WORDS * SAMPLED_PER_WORD, seed)
    fit = _Fit.of(sample)
    words = int(np.clip(len(sample) // SAMPLED_PER_WORD, LEAST_WORDS, MAX_WORDS))
    if len(sample) < LEAST_WORDS:
        raise InputError(
            f"{len(sample)} descriptors in all, expected at least {LEAST_WORDS} for a vocabulary"
        )
    with TemporaryDirectory() as folder, quiet():
        place = Path(folder)
        index = pycolmap.VisualIndex.create(fit.dim, EMBEDDING)
        build = pycolmap.VisualIndex.BuildOptions(
            num_visual_words=words, num_iterations=ROUNDS, num_rounds=1, num_threads=1
        )
        with silent():
            index.build(build, pycolmap.FeatureDescriptorsFloat(_kind(), fit(sample)))
        index.write(place / "words.bin")
        by_id = _write_descriptors(place / "database.db", features, names, fit)
        options = pycolmap.VocabTreePairingOptions(
            num_images=count + 1,  # each finds itself
            vocab_tree_path=str(place / "words.bin"),
            num_threads=1,
        )
        with opened(place / "database.db") as database:
            found = pycolmap.VocabTreePairGenerator(options, database).all_pairs()
    neighbours: dict[str, list[str]] = {}
    for query, other in found:  # of each query the most similar first
        if query != other:
            neighbours.setdefault(by_id[query], []).append(by_id[other])
    return neighbours


class _Fit:
    """Descriptors of any length as the index takes them: filled up with zeros, or along the axes in
    which they vary most.
    """

    def __init__(self, dim: int, axes: NDArray[np.float32] | None = None) -> None:
        self.dim, self.axes = dim, axes

    @classmethod
    def of(cls, sample: NDArray[np.float32]) -> _Fit:
        wide = sample.shape[1]
        if wide > max(DIMS):
            return cls(max(DIMS), principal_axes(sample, max(DIMS))[1])
        return cls(min(dim for dim in DIMS if dim >= wide))

    def __call__(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, dim)."""
        rows = descriptors if self.axes is None else descriptors @ self.axes
        fitted = np.zeros((len(rows), self.dim), np.float32)
        if len(rows):
            fitted[:, : rows.shape[1]] = rows
        return fitted


def _write_descriptors(
    path: Path, features: FeatureSource, names: Sequence[str], fit: _Fit
) -> dict[int, str]:
    """The images in a new database, with descriptors and keypoints that nobody will look at; their
    names by id.
    """
    import pycolmap

    by_id: dict[int, str] = {}
    with opened(path) as database, pycolmap.DatabaseTransaction(database):
        camera = pycolmap.Camera.create_from_model_name(0, "SIMPLE_PINHOLE", 1, 1, 1)
        camera_id = database.write_camera(camera)
        for name in names:
            rows = fit(features[name].descriptors)
            if not len(rows):
                continue
            require_room(path, rows.nbytes + IMAGE_BYTES)
            image_id = database.write_image(pycolmap.Image(name=name, camera_id=camera_id))
            by_id[image_id] = name
            database.write_keypoints(image_id, np.zeros((len(rows), 2), np.float32))
            # whole numbers for SIFT, bytes of floats for those of networks
            data = pycolmap.FeatureDescriptors(_kind(), rows.view(np.uint8))
            database.write_descriptors(image_id, data)
    return by_id


def _kind() -> pycolmap.FeatureExtractorType:
    """COLMAP's word for descriptors that are floats."""
    import pycolmap

    return pycolmap.FeatureExtractorType.ALIKED_N16ROT
