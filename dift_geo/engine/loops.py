"""The resumable loops: images -> features store, features + pairs -> matches store.

What is finished stays finished: a rerun does the rest. Knows no COLMAP.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.errors import InputError
from dift_geo.extractor import Extractor
from dift_geo.images import read_image
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.recent import _Cache

__all__ = ["extract_images", "match_pairs"]

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 20  # at most this much work is lost when the power goes


def extract_images(
    folder: str | Path,
    names: Sequence[str],
    extractor: Extractor,
    path: str | Path,
    *,
    strict: bool = False,
) -> list[str]:
    """Features of every named image below `folder` into the store at `path`; returns the names that
    were unreadable.

    Images already in the store are not done again. Unreadable ones are logged and skipped, or with
    `strict` raise. An interruption keeps what is finished.
    """
    skipped: list[str] = []
    with FeatureStore(path, extractor.recipe()) as store:
        todo = [name for name in names if name not in store]
        for name, image in _read_ahead(
            Path(folder), tqdm(todo, "extract", unit="image", disable=not todo)
        ):
            if isinstance(image, Exception):
                if strict:
                    raise image
                logger.warning("skipped: %s", image)
                skipped.append(name)
                continue
            store[name] = extractor.extract(image, name)
            store.flush_every(FLUSH_SECONDS)
        store.merge()
    return skipped


def _read_ahead(
    folder: Path, names: Iterable[str]
) -> Iterator[tuple[str, NDArray[np.uint8] | Exception]]:
    """Decode the next image while the last one is in the network."""

    def read(name: str) -> NDArray[np.uint8] | Exception:
        try:
            return read_image(folder / name)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[str, Any] | None = None
        for name in names:
            following = name, pool.submit(read, name)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def match_pairs(
    features_path: str | Path,
    pairs: Sequence[tuple[str, str]],
    path: str | Path,
    *,
    ratio: float | None = None,
    min_similarity: float | None = None,
    device: str = "cpu",
) -> None:
    """Mutual nearest neighbours of every pair into the store at `path`; pairs already there are not
    done again.

    Raises KeyError when a pair names an image without features.
    """
    _refuse_name_clashes(pairs)
    with FeatureStore(features_path) as features:
        matcher = {"name": "mutual-nn", "ratio": ratio, "min_similarity": min_similarity}
        source = (
            features.recipe if features.recipe is not None else {"file": Path(features_path).name}
        )
        digest = sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
        with MatchStore(path, {"matcher": matcher, "features": digest}) as store:
            todo = [pair for pair in pairs if pair not in store]
            cache = _Cache(features)
            for name0, name1 in tqdm(todo, "match", unit="pair", disable=not todo):
                f0, f1 = cache[name0], cache[name1]
                matches = match_mutual_nn(
                    f0.descriptors,
                    f1.descriptors,
                    ratio=ratio,
                    min_similarity=min_similarity,
                    device=device,
                )
                store.put((name0, name1), matches, len(f0))
                store.flush_every(FLUSH_SECONDS)
            store.merge()


def _refuse_name_clashes(pairs: Sequence[tuple[str, str]]) -> None:
    """hloc's layout writes a/b.jpg and a-b.jpg to the same place."""
    seen: dict[str, str] = {}
    for name in sorted({name for pair in pairs for name in pair}):
        other = seen.setdefault(name.replace("/", "-"), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} share one name in hloc's match files; rename one of them"
            )
