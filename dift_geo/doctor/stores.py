"""What is in a run's stores and its file of pairs, and whether they belong together.

Every value is read, so that checksums are compared; of very large stores as many as fit into some
seconds, spread over the whole. Knows neither photos nor COLMAP.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from dift_geo.doctor.finding import Finding, Findings
from dift_geo.errors import DiftGeoError, InputError, StoreError
from dift_geo.pairs.choose import stored_pairs
from dift_geo.pairs.lists import read_pairs
from dift_geo.recipe import fingerprint
from dift_geo.store.check import check_pair
from dift_geo.store.features import FeatureStore
from dift_geo.store.lock import WriterLock
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["examine_features", "examine_matches", "examine_pairs", "is_store_there"]

SECONDS = 30.0  # of reading one store
Key = TypeVar("Key")


def is_store_there(path: Path) -> bool:
    """Whether there is a store, or what an interrupted run left of one."""
    return path.exists() or path.with_name(f"{path.name}.shards").is_dir()


def examine_features(path: Path) -> list[Finding]:
    """What a features store holds and what is wrong with it."""
    found = Findings(path.name)
    with found.errors(), FeatureStore(path) as store:
        names = list(store)
        keypoints, problems, empty = 0, [], []
        read = list(_for_some_seconds(names))
        for name in read:
            try:
                count = len(store[name])
            except DiftGeoError as error:
                problems.append(str(error))
                continue
            keypoints += count
            if not count:
                empty.append(name)
        how = "all read" if len(read) == len(names) else f"{len(read)} of them read"
        summary = f"{len(names)} images, {how}: {keypoints} keypoints, {_made(store.recipe)}"
        found.broken(summary) if problems else found.ok(summary)
        found.examples(problems)
        if empty:
            found.note(f"no keypoints: {_some(empty)}")
        _leftovers(found, path, store.shards)
    return found.found


def examine_matches(path: Path, features: Path) -> list[Finding]:
    """What a matches store holds, and whether it is of these features."""
    found = Findings(path.name)
    with found.errors(), MatchStore(path) as store:
        if not is_store_there(features):
            found.note(f"{len(store)} pairs; there is no {features.name} to compare them with")
        else:
            with FeatureStore(features) as described:
                _compare(found, store, described)
        _leftovers(found, path, store.shards)
    return found.found


def _compare(found: Findings, store: MatchStore, features: FeatureStore) -> None:
    pairs = stored_pairs(list(features), store.path)
    problems, stale, total = [], [], 0
    read = list(_for_some_seconds(pairs))
    for pair in read:
        try:
            matches = store[pair]
            check_pair(matches, features.count(pair[0]), features.count(pair[1]), pair)
            order = store.order_of(pair)
            if order is not None and not store.current(order, features):
                stale.append(f"{pair[0]} {pair[1]}")
            total += len(matches)
        except (StoreError, InputError) as error:
            problems.append(str(error))
    how = "all read" if len(read) == len(pairs) else f"{len(read)} of them read"
    summary = f"{len(pairs)} pairs, {how}: {total} matches"
    found.broken(summary) if problems else found.ok(summary)
    found.examples(problems)
    if stale:
        found.broken(
            f"{len(stale)} pairs were matched with other features than those in "
            f"{features.path.name} now: {_some(stale)}; match again"
        )
    made_with = (store.recipe or {}).get("features")
    if made_with and features.recipe and made_with != fingerprint(features.recipe):
        found.note(f"was made when {features.path.name} had other settings")


def examine_pairs(path: Path, features: Path, matches: Path) -> list[Finding]:
    """Whether a file of pairs names images that have features, and pairs that have matches."""
    found = Findings(path.name)
    with found.errors():
        if not is_store_there(features):
            found.note(f"there is no {features.name} to compare it with")
            return found.found
        with FeatureStore(features) as store:
            pairs = read_pairs(path, list(store))
        if not pairs:
            found.broken("holds no pair, expected at least one; write it again")
            return found.found
        found.ok(f"{len(pairs)} pairs")
        if is_store_there(matches):
            with MatchStore(matches) as matched:
                waiting = _without_matches(matched, pairs)
            if waiting:
                found.note(f"{len(waiting)} pairs have no matches yet: {_some(waiting)}")
    return found.found


def _without_matches(matches: MatchStore, pairs: Iterable[Pair]) -> list[str]:
    return [f"{a} {b}" for a, b in pairs if (a, b) not in matches]


def _leftovers(found: Findings, path: Path, shards: Path) -> None:
    """What runs left beside a store: that is no harm, but it tells what happened."""
    if shards.is_dir():
        found.note(f"{shards.name} holds work of a run that did not end; the same command goes on")
    for left in sorted(path.parent.glob(f"{path.name}*.part")):
        found.note(f"{left.name} was left by a killed run; the next run removes it")
    for end in ("lock", "writer"):
        if path.with_name(f"{path.name}.{end}").exists():
            _who_writes(found, path, f"{path.name}.{end}")
            return


def _who_writes(found: Findings, path: Path, name: str) -> None:
    try:
        WriterLock(path).release()
        found.note(f"{name} was left by a killed run; it keeps nobody out")
    except DiftGeoError as error:
        found.note(str(error))


def _for_some_seconds(keys: Sequence[Key]) -> Iterator[Key]:
    """The keys, or as many as time allows, drawn from all of them."""
    until = time.monotonic() + SECONDS
    for key in Random(0).sample(keys, len(keys)):
        if time.monotonic() > until:
            return
        yield key


def _made(recipe: Mapping[str, object] | None) -> str:
    if recipe is None:
        return "made by another program"
    parts = [recipe.get(part) for part in ("detector", "descriptor")]
    words = [str(part.get("name", "?")) for part in parts if isinstance(part, dict)]
    return f"made by {' and '.join(words) or 'dift-geo'}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
