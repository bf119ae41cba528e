"""What a long run will take, by a probe of a few photos: counts, bytes on disk, seconds.

The probe does what the run will do, with the same functions, in a place that is thrown away. What
an earlier run finished is taken off where it is told where that is. Mapping is left out: it grows
with what a scene shows, of which a few photos say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from dift_geo.colmap.filling import Stores, fill_database
from dift_geo.colmap.verification import Verification, draws_for
from dift_geo.engine.loops import (
    changed_images,
    changed_pairs,
    extract_images,
    match_pairs,
    matches_recipe,
)
from dift_geo.engine.steps import Extracts
from dift_geo.errors import InputError, MissingFileError, RecipeError
from dift_geo.images import list_images
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.words import parse_how
from dift_geo.recipe import as_json, differences
from dift_geo.sfm_options import SfmOptions
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["PROBE", "Plan", "count_pairs", "plan_run"]

PROBE = 5  # photos


@dataclass(frozen=True)
class Plan:
    """A run that has not begun.

    images, pairs: how many; of pairs at most so many, where features would have to say which.
    exact_pairs: whether it is their number.
    images_left, pairs_left: those that no earlier run has finished.
    keypoints: of an image, the mean of the probe.
    features_bytes, matches_bytes: of the stores. While a store is merged it is there twice.
    extract_seconds, match_seconds: of what is left, on this machine as busy as it was during the
        probe.
    verify_seconds: of COLMAP's geometric verification of all pairs, which every run does anew.
    probe: photos that were tried.
    """

    images: int
    pairs: int
    exact_pairs: bool
    images_left: int
    pairs_left: int
    keypoints: float
    features_bytes: int
    matches_bytes: int
    extract_seconds: float
    match_seconds: float
    verify_seconds: float
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
    out: str | Path | None = None,
) -> Plan:
    """Extract and match a few photos of a folder, and reckon what all of them take.

    probe: how many, spread over the folder; the first one is not timed where there are more.
    out: folder of a run that was begun; what it has finished is taken off.

    Raises InputError where the folder holds fewer than two images, or too few of the probe can be
    read, and RecipeError where the files in `out` were made with other settings.
    """
    names = list_images(images)
    if len(names) < 2:
        raise InputError(f"{images} holds {len(names)} image(s), expected at least 2 to plan for")
    pairs, exact = count_pairs(names, options, images)
    done = (0, 0)
    if out is not None:
        chosen = options.choose_pairs(names, images=images) if exact else None
        done = _finished(Path(out), Path(images), names, chosen, extractor, match)
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
        asked = replace(options.verification, draws=draws_for(pairs))
        a_check = _seconds_to_verify(Path(place), images, todo, options, asked) / len(todo)
        with FeatureStore(features) as store:
            keypoints = sum(store.count(name) for name in read) / len(read)
        features_bytes = features.stat().st_size * len(names) // len(read)
        matches_bytes = matches.stat().st_size * pairs // len(todo)
    left = len(names) - done[0], pairs - done[1]
    seconds = a_photo * left[0], a_pair * left[1], a_check * pairs
    stores = features_bytes, matches_bytes
    return Plan(len(names), pairs, exact, *left, keypoints, *stores, *seconds, len(read))


def _seconds_to_verify(
    place: Path,
    images: str | Path,
    pairs: Sequence[Pair],
    options: SfmOptions,
    verification: Verification,
) -> float:
    """Of the probe's pairs, with all that a database needs before."""
    begun = perf_counter()
    fill_database(
        place / "database.db",
        images,
        Stores(place / "features.h5", place / "matches.h5", pairs),
        camera_mode=options.camera_mode,
        camera_model=options.camera_model,
        seed=options.seed,
        verification=verification,
    )
    return perf_counter() - begun


def _finished(
    out: Path,
    images: Path,
    names: Sequence[str],
    pairs: Sequence[Pair] | None,
    extractor: Extracts,
    match: MatchOptions,
) -> tuple[int, int]:
    """How many images and pairs an earlier run has done, of those that will be asked for.

    pairs: that will be matched; None where features choose them, and all that are there count.
    """
    try:
        with FeatureStore(out / "features.h5") as features:
            _same_settings(features.path, features.recipe, extractor.recipe())
            described = len(names) - len(list(changed_images(features, images, None, names)))
            try:
                with MatchStore(out / "matches.h5") as matches:
                    wanted = matches_recipe(features, match)
                    _same_settings(matches.path, matches.recipe, wanted)
                    asked = list(matches) if pairs is None else pairs
                    return described, len(asked) - len(
                        list(changed_pairs(matches, features, asked))
                    )
            except MissingFileError:
                return described, 0
    except MissingFileError:
        return 0, 0


def _same_settings(
    path: Path, found: Mapping[str, object] | None, wanted: Mapping[str, object]
) -> None:
    found, wanted = as_json(found or {}), as_json(wanted)
    if found != wanted:
        raise RecipeError(
            f"{path} was made with other settings: {'; '.join(differences(found, wanted))}. "
            "The run would refuse it; plan with those settings, or for another folder"
        )


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
