"""From what a user asks for (`retrieval:20`, `spatial:20`, ...) to the pairs of images to match.

Several ways are united; a budget keeps the best of each image. Knows no flags.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.covisibility import rank_covisible
from dift_geo.colmap.posed import read_model
from dift_geo.colmap.seen import read_poses
from dift_geo.colmap.vocabulary import rank_vocabulary
from dift_geo.errors import InputError, MissingFileError
from dift_geo.options import check_ranges, option
from dift_geo.pairs.gps import places_of
from dift_geo.pairs.lists import read_pairs
from dift_geo.pairs.nearest import rank_places, rank_poses
from dift_geo.pairs.ranked import (
    Ranking,
    best_pairs,
    rank_exhaustive,
    rank_listed,
    rank_sequential,
    unite,
)
from dift_geo.pairs.retrieval import pool_images, pooling_recipe, rank_loops, rank_retrieval
from dift_geo.pairs.words import KINDS, How, parse_how
from dift_geo.recipe import as_json, fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.global_descriptors import global_recipe, read_globals, write_globals
from dift_geo.types import Pair

__all__ = ["PairOptions", "find_pairs"]

T = TypeVar("T")
logger = logging.getLogger(__name__)
REMEDIES = {
    "features": "features: give a features store instead of a folder",
    "images": "the photos: give their folder with --images",
    "model": "poses: give a COLMAP model with --from-model",
}


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """What can be asked of the choice of pairs. Raises InputError for a word that means nothing.

    how: words as `retrieval:20`; the pairs of several are united. None: nothing is asked for.
    """

    budget: int | None = option(
        None,
        "at most so many pairs: every image keeps its best before any has its second best",
        metavar="N",
        least=1,
    )
    from_model: str | None = option(
        None,
        "a COLMAP model, for poses and covisible; for poses a list of cameras will do",
        metavar="PATH",
    )
    global_descriptors: str | None = option(
        None,
        "for retrieval and loops: hloc's are read, ours are written and read again",
        metavar="FILE",
    )
    seed: int = option(0, "of samples", metavar="N", least=0, most=2**31 - 1)
    how: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self)
        parse_how(self.how)
        if not self.how and self.budget is not None:
            raise InputError("--budget needs --how: the ranks of pairs are those of its words")

    def given_files(self) -> list[str]:
        """Files that the user handed over."""
        lists = [str(how.path) for how in parse_how(self.how) if how.path is not None]
        return [*lists, *([] if self.global_descriptors is None else [self.global_descriptors])]

    def check(self, *, features: bool, images: bool) -> None:
        """Refuse, before any work, words that need what is not given: features, photos, a model.

        Raises InputError, or MissingFileError for a list or a model that is not there.
        """
        given = {"features": features, "images": images, "model": self.from_model is not None}
        for how in parse_how(self.how):
            usage = KINDS[how.kind].usage
            if how.needs and not given[how.needs]:
                raise InputError(f"{usage} needs {REMEDIES[how.needs]}")
            place = self.from_model if how.needs == "model" else how.path
            if place is not None and not Path(place).exists():
                raise MissingFileError(f"there is nothing at {place}, which {usage} needs")


def find_pairs(
    names: Sequence[str],
    options: PairOptions,
    *,
    features: str | Path | None = None,
    images: str | Path | None = None,
    left_out: Collection[str] = (),
) -> list[Pair]:
    """The pairs of the named images that any of the words chooses, in the order of `names`.

    features: a features store, for words that compare images.
    images: the folder of the photos, for where they were taken.
    left_out: images that could not be read; a list may name them all the same.

    Raises InputError where a word has nothing to go by, and what reading its sources raises.
    """
    options.check(features=features is not None, images=images is not None)
    if len(names) < 2:
        raise InputError(f"{len(names)} image(s), expected at least 2 to choose pairs of")
    finder = _Finder(
        list(names),
        options,
        None if features is None else Path(features),
        None if images is None else Path(images),
        left_out,
    )
    ranking = unite(finder.rank(how) for how in parse_how(options.how))
    return best_pairs(ranking, names, options.budget)


class _Finder:
    """The ways to choose pairs of given images; vectors are pooled once for all of them."""

    def __init__(
        self,
        names: Sequence[str],
        options: PairOptions,
        features: Path | None,
        images: Path | None,
        left_out: Collection[str],
    ) -> None:
        self.names, self.options, self.left_out = names, options, left_out
        self.features, self.images = features, images
        self._vectors: NDArray[np.float32] | None = None

    def rank(self, how: How) -> Ranking:
        ways = {
            "exhaustive": self._exhaustive,
            "sequential": self._sequential,
            "retrieval": self._retrieval,
            "loops": self._loops,
            "vocabulary": self._vocabulary,
            "spatial": self._spatial,
            "poses": self._poses,
            "covisible": self._covisible,
            "file": self._file,
        }
        return ways[how.kind](how)

    def _exhaustive(self, how: How) -> Ranking:
        return rank_exhaustive(self.names)

    def _sequential(self, how: How) -> Ranking:
        return rank_sequential(self.names, how.count)

    def _retrieval(self, how: How) -> Ranking:
        return rank_retrieval(self.names, self.vectors(), how.count)

    def _loops(self, how: How) -> Ranking:
        return rank_loops(self.names, self.vectors(), how.count)

    def _vocabulary(self, how: How) -> Ranking:
        assert self.features is not None
        with FeatureStore(self.features) as store:
            return rank_vocabulary(store, self.names, how.count, seed=self.options.seed)

    def _spatial(self, how: How) -> Ranking:
        assert self.images is not None
        places = places_of(self.images, self.names)
        self._say_without(places, "do not say where they were taken")
        return rank_places(places, how.count)

    def _poses(self, how: How) -> Ranking:
        assert self.options.from_model is not None
        return rank_poses(self._known(read_poses(self.options.from_model)), how.count)

    def _covisible(self, how: How) -> Ranking:
        assert self.options.from_model is not None
        model = read_model(self.options.from_model)
        self._known({image.name: image for image in model.images.values() if image.has_pose})
        return rank_covisible(model, how.count, self.names)

    def _file(self, how: How) -> Ranking:
        assert how.path is not None
        return rank_listed(read_pairs(how.path, self.names, left_out=self.left_out))

    def _known(self, of_model: Mapping[str, T]) -> Mapping[str, T]:
        """What a model says of our images. Raises InputError where it has fewer than two."""
        known = {name: of_model[name] for name in self.names if name in of_model}
        if len(known) < 2:
            raise InputError(
                f"{self.options.from_model} places {len(known)} of the {len(self.names)} images, "
                "expected at least 2; is it of these images?"
            )
        self._say_without(known, f"have no pose in {self.options.from_model}")
        return known

    def _say_without(self, known: Mapping[str, object], what: str) -> None:
        missing = [name for name in self.names if name not in known]
        if missing:
            logger.warning(
                "%d of %d images %s and get no pairs by that, %s first",
                *(len(missing), len(self.names), what, missing[0]),
            )

    def vectors(self) -> NDArray[np.float32]:
        if self._vectors is None:
            self._vectors = self._read_or_pool()
        return self._vectors

    def _read_or_pool(self) -> NDArray[np.float32]:
        path, features = self.options.global_descriptors, self.features
        assert features is not None
        with FeatureStore(features) as store:
            recipe = pooling_recipe(self.options.seed) | {
                "features": fingerprint({name: store.fingerprint(name) for name in self.names})
            }
            if path is not None and Path(path).exists():
                found = global_recipe(path)
                if found is not None and found.get("name") != recipe["name"]:
                    raise InputError(
                        f"{path} is there and holds no global descriptors; choose another file"
                    )
                if found is None or found == as_json(recipe):
                    return read_globals(path, self.names)
            vectors = pool_images(store, self.names, self.options.seed)
        if path is not None:
            write_globals(path, self.names, vectors, recipe)
        return vectors
