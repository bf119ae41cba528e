"""The main job in one call: a folder of photos in, a COLMAP model out, resumable at every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from dift_geo import __version__
from dift_geo.colmap.certify import handed_over
from dift_geo.colmap.doors import check_photos
from dift_geo.colmap.filling import Stores, fill_database
from dift_geo.colmap.lenses import write_lenses
from dift_geo.colmap.mapping import (
    Reconstruction,
    model_summary,
    write_models,
)
from dift_geo.colmap.opinions import ask_mapper
from dift_geo.colmap.workspace import Workspace
from dift_geo.engine.contract import Engine
from dift_geo.engine.loops import MEMORY, extract_images, match_pairs
from dift_geo.engine.steps import Extracts
from dift_geo.errors import InputError, NoModelError
from dift_geo.images import list_images
from dift_geo.matching.options import RATIO_FOR_MODELS, MatchOptions
from dift_geo.pairs.choose import choose_pairs as choose_pairs  # where 0.1 had it
from dift_geo.pairs.choose import stored_pairs
from dift_geo.pairs.lists import write_pairs
from dift_geo.sfm_options import SfmOptions
from dift_geo.stopwatch import Stopwatch
from dift_geo.store.features import FeatureStore
from dift_geo.types import Pair

__all__ = ["SfmOptions", "reconstruct", "reconstruct_from_files", "reconstruct_from_stores"]


def reconstruct(
    images: str | Path,
    out: str | Path,
    extractor: Extracts,
    options: SfmOptions = SfmOptions(),
    match: MatchOptions = MatchOptions(ratio=RATIO_FOR_MODELS),
    *,
    strict: bool = False,
    masks: str | Path | None = None,
    device: str = "cpu",
    engine: Engine | None = None,
    memory: int = MEMORY,
) -> Reconstruction:
    """Photos -> a COLMAP model.

    Finished stages stay on disk, and a rerun goes on from them.

    images: folder of the photos, read recursively.
    out: gets features.h5, matches.h5, pairs.txt, database.db, sparse/ and summary.json.
    extractor: makes the features.
    options: of pairs and mapping.
    match: which mutual nearest neighbours are kept.
    strict: stop at the first unreadable image instead of skipping it.
    masks: a folder with masks of the photos, as `extract_images` takes it.
    device: where descriptors are compared.
    engine: where photos are described and matched; None is this process.
    memory: bytes of features kept at hand while matching, as `match_pairs` takes it.

    Raises InputError when fewer than two images can be read, options do not fit them or `out` holds
    results of another program, and NoModelError when COLMAP finds no model; a model that is there
    already stays until a new one stands.
    """
    out = Path(out)
    space = Workspace(out, images, options.given_files())
    names = list_images(images)
    _need_two(names, f"{images} holds {len(names)} image(s)")
    options.check(names)
    options.check_pairs(names)
    features, matches = out / "features.h5", out / "matches.h5"
    with space.claimed():
        watch = Stopwatch()
        skipped = extract_images(
            images, names, extractor, features, strict=strict, masks=masks, engine=engine
        )
        watch.lap("extract")
        readable = [name for name in names if name not in set(skipped)]
        _need_two(readable, f"{len(readable)} of {len(names)} images in {images} can be read")
        pairs = options.choose_pairs(readable, set(skipped), features=features, images=images)
        _need_pairs(pairs, options.pairs_word, f"the {len(readable)} readable images")
        match_pairs(features, pairs, matches, match, device=device, engine=engine, memory=memory)
        watch.lap("match")
        recipe = {"extractor": extractor.recipe(), "match": match.recipe(), **options.recipe()}
        about = {"images": len(readable), "skipped": skipped, "recipe": recipe}
        stores = Stores(features, matches, pairs)
        return _publish(space, images, stores, options, about, watch.seconds)


def reconstruct_from_files(
    images: str | Path,
    out: str | Path,
    features: str | Path,
    matches: str | Path | None = None,
    options: SfmOptions = SfmOptions(),
    match: MatchOptions = MatchOptions(ratio=RATIO_FOR_MODELS),
    *,
    device: str = "cpu",
    engine: Engine | None = None,
    memory: int = MEMORY,
) -> Reconstruction:
    """Photos with features, and perhaps matches, that hloc or we wrote -> a COLMAP model.

    images: folder of the photos.
    out: gets pairs.txt, database.db, sparse/ and summary.json, and matches.h5 where none are given.
    features: a features store.
    matches: a matches store; None leaves the matching to us.
    options: of pairs and mapping.
    match: which mutual nearest neighbours are kept, where the matching is ours.
    device: where descriptors are compared.
    engine: where photos are matched; None is this process.
    memory: bytes of features kept at hand meanwhile, as `match_pairs` takes it.

    Raises InputError when no pair is left, MissingNameError when a pair has no matches, and
    NoModelError when COLMAP finds no model.
    """
    out = Path(out)
    given = [features, *([] if matches is None else [matches]), *options.given_files()]
    space = Workspace(out, images, given)
    with FeatureStore(features) as store:
        names = list(store)
        options.check(names)
        if matches is not None and options.pairs is None and not options.choice.how:
            pairs = stored_pairs(names, matches)
        else:
            pairs = options.choose_pairs(names, features=features, images=images)
        _need_pairs(pairs, matches or features, f"{len(names)} images")
        check_photos(images, store, sorted(set(chain.from_iterable(pairs))))
    recipe: dict[str, object] = {"features": str(features)}
    with space.claimed():
        if matches is None:
            matches = out / "matches.h5"
            recipe["match"] = match.recipe()
            match_pairs(
                features, pairs, matches, match, device=device, engine=engine, memory=memory
            )
        recipe |= {"matches": str(matches), **options.recipe()}
        stores = Stores(Path(features), Path(matches), pairs)
        return _publish(space, images, stores, options, {"skipped": [], "recipe": recipe})


def reconstruct_from_stores(
    images: str | Path,
    features_path: str | Path,
    matches_path: str | Path,
    pairs: Sequence[Pair],
    out: str | Path,
    options: SfmOptions = SfmOptions(),
    *,
    verify: bool = True,
) -> Reconstruction:
    """Stores -> `OUT/database.db`, `OUT/summary.json` and models in `OUT/sparse/`.

    The best model lies in `OUT/sparse/`, and all of them in `OUT/sparse/0`, `1`, ..., best first.

    pairs: names of the images; the pairs that `options` would choose play no part.
    verify: off, matches are taken as verified.

    Raises InputError when `out` holds results of another program, and NoModelError when COLMAP
    finds no model; what was there stays.
    """
    space = Workspace(out, images, [features_path, matches_path, Path(out) / "pairs.txt"])
    stores = Stores(Path(features_path), Path(matches_path), pairs)
    options.check(stores.names())
    with space.claimed():
        return _publish(space, images, stores, options, {}, verify=verify)


def _publish(
    space: Workspace,
    images: str | Path,
    stores: Stores,
    options: SfmOptions,
    about: Mapping[str, object],
    seconds: Mapping[str, float] = MappingProxyType({}),
    *,
    verify: bool = True,
) -> Reconstruction:
    """Make the model aside; when it stands, it takes the place of the old results.

    about: what else `summary.json` says.
    seconds: that the stages before this one took.
    """
    with space.scratch() as scratch:
        watch = Stopwatch()
        write_pairs(scratch / "pairs.txt", stores.pairs)
        database, models = scratch / "database.db", scratch / "models"
        found = fill_database(
            database,
            images,
            stores,
            camera_mode=options.camera_mode,
            camera_model=options.camera_model,
            intrinsics=options.intrinsics,
            seed=options.seed,
            verify=verify,
            verification=options.verification,
        )
        watch.lap("verify")
        opinions = ask_mapper(
            database, models, mapper=options.mapper, seed=options.seed, threads=options.threads
        )
        if not opinions:
            raise NoModelError(
                f"COLMAP found no model: {found['images']} images, "
                f"{found['matches_mean']} matches per pair, "
                f"{found['verified_pairs']} of {len(stores.pairs)} pairs verified; expected photos "
                "from different places that overlap; more --max-keypoints or --size may help"
            )
        free = options.free_cameras(database)
        made, trust = handed_over(opinions, database, models, images, options.threads, free)
        write_lenses(database, free)
        write_models(scratch / "sparse", made)
        watch.lap("map")
        summary = found | {"seconds": {**seconds, **watch.seconds}} | model_summary(made)
        place = str(Path(images).absolute())
        summary |= {**about, "photos": place, "trust": trust.plain(), "dift_geo": __version__}
        space.publish(scratch, summary)
    return Reconstruction(made[0], space.out / "sparse", summary)


def _need_two(names: Sequence[str], found: str) -> None:
    if len(names) < 2:
        raise InputError(f"{found}, expected at least 2 to reconstruct")


def _need_pairs(pairs: Sequence[Pair], source: str | Path, images: str) -> None:
    if not pairs:
        raise InputError(f"{source} gives no pair of {images}, expected at least one")
