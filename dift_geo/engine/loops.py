"""The resumable loops: images to a features store, features and pairs to a matches store.

What is finished stays finished: a run that is started again does the rest. Finished is what was
made of the bytes that are there now: photos that were replaced under their name are described
again, and pairs whose features are others are matched again. The work itself is in `steps`, and an
engine says where it runs. Knows no COLMAP.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.steps import (
    Extracts,
    Unreadable,
    describe_photo,
    load_pair,
    mask_of,
    match_loaded,
    probe_of,
    read_photo,
)
from dift_geo.errors import InputError, MissingFileError, MissingNameError, NotAFolderError
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.tiles import in_tiles
from dift_geo.progress import progress
from dift_geo.recipe import fingerprint
from dift_geo.stop import stopped_by_sigterm
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore, refuse_name_clashes
from dift_geo.store.recent import Recent, size_in_bytes
from dift_geo.turned import straightening_of
from dift_geo.turns.survey import survey_turns
from dift_geo.types import Pair, Turn

__all__ = [
    "MEMORY",
    "changed_images",
    "changed_pairs",
    "extract_images",
    "match_pairs",
    "matches_recipe",
]

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)
MEMORY = 1 << 30  # bytes of features at hand
FLUSH_SECONDS = 20  # at most this much work is lost when the power goes


def extract_images(
    folder: str | Path,
    names: Sequence[str],
    extractor: Extracts,
    path: str | Path,
    *,
    strict: bool = False,
    masks: str | Path | None = None,
    engine: Engine | None = None,
) -> list[str]:
    """Extract features of images into the store at `path`; returns the names of unreadable ones.

    Images whose features the store holds are not done again, unless the photo or its mask is
    another one by now. An interruption, SIGTERM too, keeps what is finished. Images without any
    keypoint are logged by name.

    folder: where the images are.
    names: paths below it.
    extractor: what makes the features; its recipe is the store's. Where it straightens photos, all
        are compared first; those that the store holds keep their turns.
    path: the features store.
    strict: raise the error of an unreadable image instead of logging it and going on.
    masks: a folder with `NAME.png` for images that have a mask, of their size, in which black keeps
        keypoints away; None has them everywhere. The extractor has to take masks, as `Extractor`.
    engine: where the work runs; None is this process.

    Raises NotAFolderError when there is no folder of masks, InputError when it holds no mask of
    these images, RecipeError when the store was made with other settings and StoreError or
    WriteError when it cannot be read or written.
    """
    folder, masks = Path(folder), None if masks is None else Path(masks)
    if masks is not None:
        _check_masks(masks, names)
    skipped: list[str] = []
    with stopped_by_sigterm(), FeatureStore(path, extractor.recipe()) as store:
        wanted = dict.fromkeys(names)
        todo = list(changed_images(store, folder, masks, wanted))
        engine = engine or Local()
        turns = _survey(extractor, store, folder, list(wanted), todo, engine)
        results = engine.map(
            partial(describe_photo, extractor, turns=turns),
            todo,
            partial(read_photo, folder, masks),
        )
        with _progress(results, todo, "extract", "image") as done:
            for described, name in done:
                if isinstance(described, Unreadable):
                    if not isinstance(engine, Local):
                        _refuse_unshared(folder, masks, described)
                    if strict:
                        raise described.error
                    logger.warning("skipped: %s", described.error)
                    skipped.append(name)
                    continue
                store.put(name, described.features, described.source, described.turn)
                store.flush_every(FLUSH_SECONDS)
        store.merge()
        _name_empty(store, [name for name in wanted if name not in set(skipped)])
    return skipped


def _survey(
    extractor: Extracts,
    store: FeatureStore,
    folder: Path,
    names: Sequence[str],
    todo: Sequence[str],
    engine: Engine,
) -> dict[str, Turn]:
    """Turns of the photos of a folder, where the extractor wants to know them; those of photos that
    are not to be done stay.
    """
    straighten = straightening_of(extractor)
    if straighten is None or not todo:
        return {}
    done = {name: store.turn(name) for name in set(names).difference(todo)}
    known = {name: turn for name, turn in done.items() if turn is not None}
    looked = engine.map(partial(probe_of, straighten), names, partial(read_photo, folder, None))
    with _progress(looked, names, "survey", "image") as seen:
        probes = {name: probe for probe, name in seen if probe is not None}
    return survey_turns(probes, known, zoom=straighten.mode == "zoom")


def _check_masks(masks: Path, names: Sequence[str]) -> None:
    if not masks.is_dir():
        raise NotAFolderError(f"{masks} is not a folder; expected a folder of masks")
    files = [masks / f"{name}.png" for name in names]
    if files and not any(file.is_file() for file in files):
        raise InputError(
            f"{masks} holds no mask of any of the {len(files)} images, expected such as {files[0]}"
        )


def _refuse_unshared(folder: Path, masks: Path | None, unreadable: Unreadable) -> None:
    """Raise InputError where a photo can be read here, and was not where it should be described:
    skipped, it would be missing for a fault of that machine.
    """
    if isinstance(read_photo(folder, masks, unreadable.name), Unreadable):
        return
    raise InputError(
        f"{folder / unreadable.name} can be read here, but not on the machine that should describe "
        f"it ({unreadable.error}); share {folder} under the same path with all machines"
    )


def changed_images(
    store: FeatureStore, folder: Path, masks: Path | None, names: Iterable[str]
) -> Iterator[str]:
    """The images whose features are missing, or of another photo than the one that is there."""
    for name in names:
        try:
            current = store.current(name, folder / name, mask_of(masks, name))
        except MissingFileError:  # reading it will say so
            current = False
        if not current:
            yield name
        store.flush_every(FLUSH_SECONDS)


def _name_empty(store: FeatureStore, names: Iterable[str]) -> None:
    empty = [name for name in names if not store.count(name)]
    if empty:
        logger.warning("no keypoints: %s", ", ".join(empty))


def match_pairs(
    features_path: str | Path,
    pairs: Sequence[Pair],
    path: str | Path,
    options: MatchOptions = MatchOptions(),
    *,
    device: str = "cpu",
    engine: Engine | None = None,
    memory: int = MEMORY,
    ratio: float | None = None,
    min_similarity: float | None = None,
) -> None:
    """Match pairs of images by mutual nearest neighbours into the store at `path`.

    Pairs that the store holds, in either order, are not done again, unless their features are
    others by now. An interruption, SIGTERM too, keeps what is finished.

    features_path: a features store, ours or hloc's.
    pairs: names of the images.
    path: the matches store.
    options: which neighbours are kept.
    device: where descriptors are compared.
    engine: where the work runs; None is this process.
    memory: bytes of features that are kept at hand, in each process that matches. Where all need
        more, pairs are matched in an order in which features are read seldom.

    Raises MissingNameError when a pair names an image without features, InputError when two names
    have one place in hloc's layout, RecipeError when the store was made with other settings.
    """
    if ratio is not None or min_similarity is not None:  # until callers give options
        options = MatchOptions(ratio=ratio, min_similarity=min_similarity)
    refuse_name_clashes(pairs)
    with (
        stopped_by_sigterm(),
        FeatureStore(features_path) as features,
        MatchStore(path, matches_recipe(features, options)) as store,
    ):
        todo = list(changed_pairs(store, features, pairs))
        if todo:
            todo = in_tiles(todo, _images_held(features, todo, memory))
        load = partial(load_pair, Recent(features, memory))
        results = (engine or Local()).map(partial(match_loaded, options, device), todo, load)
        with _progress(results, todo, "match", "pair") as done:
            for found, pair in done:
                of_both = features.fingerprint(pair[0]), features.fingerprint(pair[1])
                store.put(pair, found.matches, found.count0, of_both)
                store.flush_every(FLUSH_SECONDS)
        store.merge()


def matches_recipe(features: FeatureStore, options: MatchOptions) -> dict[str, object]:
    """What determines the matches of these features."""
    made_with = features.recipe
    if made_with is None:
        made_with = {"file": features.path.name}
    return {"matcher": options.recipe(), "features": fingerprint(made_with)}


def _images_held(features: FeatureStore, pairs: Sequence[Pair], memory: int) -> int:
    """How many images' features go into so much memory, by their number of keypoints."""
    names = dict.fromkeys(name for pair in pairs for name in pair)
    counts = {name: features.count(name) for name in names if name in features}
    total = sum(counts.values())
    if not total:
        return len(names)
    largest = max(counts, key=lambda name: counts[name])
    a_keypoint = size_in_bytes(features[largest]) / counts[largest]
    return int(memory // (a_keypoint * total / len(counts)))


def changed_pairs(
    store: MatchStore, features: FeatureStore, pairs: Iterable[Pair]
) -> Iterator[Pair]:
    """The pairs whose matches are missing, or of other features than those that are there.

    In the order in which they are stored, and in one order only.
    """
    seen: set[Pair] = set()
    for pair in pairs:
        if pair in seen:
            continue
        seen |= {pair, pair[::-1]}
        order = store.order_of(pair) or pair
        try:
            current = store.current(order, features)
        except MissingNameError:  # reading its features will say so
            current = False
        if not current:
            yield order


@contextmanager
def _progress(
    results: Generator[Result, None, None], items: Sequence[Item], what: str, unit: str
) -> Iterator[Iterator[tuple[Result, Item]]]:
    """Each result with its item, under a progress bar; the work ends with the `with` block."""
    with (
        closing(results),
        progress(results, what, unit=unit, total=len(items), shown=bool(items)) as shown,
    ):
        yield zip(shown, items)
