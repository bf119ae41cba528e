"""What a long run will take, by a probe of a few photos: counts, bytes on disk, seconds.

The probe does what the run will do, with the same functions, in a place that is thrown away. Knows
nothing of what earlier runs left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.engine.steps import Extracts
from dift_geo.errors import InputError
from dift_geo.images import list_images
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.words import parse_how
from dift_geo.sfm_options import SfmOptions
from dift_geo.store.features import FeatureStore
from dift_geo.types import Pair

__all__ = ["PROBE", "Plan", "count_pairs", "plan_run"]

PROBE = 5  # photos


@dataclass(frozen=True)
class Plan:
    """A run that has not begun.

    images, pairs: how many; of pairs at most so many, where features would have to say which.
    exact_pairs: whether it is their number.
    keypoints: of an image, the mean of the probe.
    features_bytes, matches_bytes: of the stores. While a store is merged it is there twice.
    extract_seconds, match_seconds: on this machine as busy as it was during the probe.
    probe: photos that were tried.
    """

    images: int
    pairs: int
    exact_pairs: bool
    keypoints: float
    features_bytes: int
    matches_bytes: int
    extract_seconds: float
    match_seconds: float
    probe: int

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def plan_run(
    images: str | Path,
    extractor: Extracts,
    options: SfmOptions = SfmOptions(),
    match: MatchOptions = MatchOptions(),
    *,
    probe: int = PROBE,
    device: str = "cpu",
) -> Plan:
    """Extract and match a few photos of a folder, and reckon what all of them take.

    probe: how many, spread over the folder; the first one is not timed where there are more.

    Raises InputError where the folder holds fewer than two images, or too few of the probe can be
    read.
    """
    names = list_images(images)
    if len(names) < 2:
        raise InputError(f"{images} holds {len(names)} image(s), expected at least 2 to plan for")
    pairs, exact = count_pairs(names, options, images)
    count = min(max(2, probe), len(names))
    tried = [names[i * len(names) // count] for i in range(count)]
    with TemporaryDirectory() as place:
        features, matches = Path(place) / "features.h5", Path(place) / "matches.h5"
        skipped = extract_images(images, tried[:1], extractor, features)
        begun = perf_counter()
        skipped += extract_images(images, tried[1:], extractor, features)
        a_photo = (perf_counter() - begun) / len(tried[1:])
        read = [name for name in tried if name not in set(skipped)]
        if len(read) < 2:
            raise InputError(
                f"{len(read)} of {len(tried)} photos that were tried can be read, expected at "
                "least 2; look into the folder, or try more with --probe"
            )
        todo = list(combinations(read, 2))
        match_pairs(features, todo[:1], matches, match, device=device)
        begun = perf_counter()
        match_pairs(features, todo[1:] or todo, matches, match, device=device)
        a_pair = (perf_counter() - begun) / len(todo[1:] or todo)
        with FeatureStore(features) as store:
            keypoints = sum(store.count(name) for name in read) / len(read)
        features_bytes = features.stat().st_size * len(names) // len(read)
        matches_bytes = matches.stat().st_size * pairs // len(todo)
    seconds = a_photo * len(names), a_pair * pairs
    stores = features_bytes, matches_bytes
    return Plan(len(names), pairs, exact, keypoints, *stores, *seconds, len(read))


def count_pairs(names: Sequence[str], options: SfmOptions, images: str | Path) -> tuple[int, bool]:
    """How many pairs there will be, and whether that is exact: those that features will choose are
    at most N for each image.
    """
    every = len(names) * (len(names) - 1) // 2
    words = dict(zip(options.choice.how, parse_how(options.choice.how)))
    later = [how for how in words.values() if how.needs == "features"]
    if not later:
        return len(options.choose_pairs(names, images=images)), True
    now = tuple(word for word, how in words.items() if how.needs != "features")
    known: list[Pair] = []
    if now:
        choice = replace(options.choice, how=now, budget=None)
        known = replace(options, choice=choice).choose_pairs(names, images=images)
    most = len(known) + sum(min(how.count, len(names) - 1) for how in later) * len(names)
    return min(most, every, options.choice.budget or every), False
