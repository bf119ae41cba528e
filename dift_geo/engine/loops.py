"""The resumable loops: images to a features store, features and pairs to a matches store.

What is finished stays finished: a run that is started again does the rest. The work itself is in
`steps`, and an engine says where it runs. Knows no COLMAP.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.steps import (
    Extracts,
    Unreadable,
    describe_photo,
    load_pair,
    match_loaded,
    read_photo,
)
from dift_geo.matching.options import MatchOptions
from dift_geo.recipe import fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore, refuse_name_clashes
from dift_geo.store.recent import Recent
from dift_geo.types import Pair

__all__ = ["extract_images", "match_pairs"]

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)
FLUSH_SECONDS = 20  # at most this much work is lost when the power goes


def extract_images(
    folder: str | Path,
    names: Sequence[str],
    extractor: Extracts,
    path: str | Path,
    *,
    strict: bool = False,
    engine: Engine | None = None,
) -> list[str]:
    """Extract features of images into the store at `path`; returns the names of unreadable ones.

    Images that the store holds are not done again. An interruption keeps what is finished.

    folder: where the images are.
    names: paths below it.
    extractor: what makes the features; its recipe is the store's.
    path: the features store.
    strict: raise the error of an unreadable image instead of logging it and going on.
    engine: where the work runs; None is this process.

    Raises RecipeError when the store was made with other settings and StoreError when it cannot be
    written.
    """
    skipped: list[str] = []
    with FeatureStore(path, extractor.recipe()) as store:
        todo = [name for name in dict.fromkeys(names) if name not in store]
        results = (engine or Local()).map(
            partial(describe_photo, extractor), todo, partial(read_photo, Path(folder))
        )
        with _progress(results, todo, "extract", "image") as done:
            for features, name in done:
                if isinstance(features, Unreadable):
                    if strict:
                        raise features.error
                    logger.warning("skipped: %s", features.error)
                    skipped.append(name)
                    continue
                store[name] = features
                store.flush_every(FLUSH_SECONDS)
        store.merge()
    return skipped


def match_pairs(
    features_path: str | Path,
    pairs: Sequence[Pair],
    path: str | Path,
    options: MatchOptions = MatchOptions(),
    *,
    device: str = "cpu",
    engine: Engine | None = None,
    ratio: float | None = None,
    min_similarity: float | None = None,
) -> None:
    """Match pairs of images by mutual nearest neighbours into the store at `path`.

    Pairs that the store holds are not done again. An interruption keeps what is finished.

    features_path: a features store, ours or hloc's.
    pairs: names of the images.
    path: the matches store.
    options: which neighbours are kept.
    device: where descriptors are compared.
    engine: where the work runs; None is this process.

    Raises MissingNameError when a pair names an image without features, InputError when two names
    have one place in hloc's layout, RecipeError when the store was made with other settings.
    """
    if ratio is not None or min_similarity is not None:  # until callers give options
        options = MatchOptions(ratio=ratio, min_similarity=min_similarity)
    refuse_name_clashes(pairs)
    with FeatureStore(features_path) as features:
        made_with = features.recipe
        if made_with is None:
            made_with = {"file": Path(features_path).name}
        recipe = {"matcher": options.recipe(), "features": fingerprint(made_with)}
        with MatchStore(path, recipe) as store:
            todo = [pair for pair in dict.fromkeys(pairs) if pair not in store]
            results = (engine or Local()).map(
                partial(match_loaded, options, device), todo, partial(load_pair, Recent(features))
            )
            with _progress(results, todo, "match", "pair") as done:
                for found, pair in done:
                    store.put(pair, found.matches, found.count0)
                    store.flush_every(FLUSH_SECONDS)
            store.merge()


@contextmanager
def _progress(
    results: Generator[Result, None, None], items: Sequence[Item], what: str, unit: str
) -> Iterator[Iterator[tuple[Result, Item]]]:
    """Each result with its item, under a progress bar; the work ends with the `with` block."""
    with (
        closing(results),
        tqdm(results, what, len(items), unit=unit, disable=not items) as shown,
    ):
        yield zip(shown, items)
