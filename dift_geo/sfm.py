"""The main job in one call: a folder of photos in, a COLMAP model out, resumable at every stage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from dift_geo import __version__
from dift_geo.colmap.cameras import CameraMode, Intrinsics, check_camera_models
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    quiet,
    verify_database,
)
from dift_geo.colmap.mapping import MapperName, Reconstruction, map_database, model_summary
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError, NoModelError
from dift_geo.extractor import Extractor
from dift_geo.images import list_images
from dift_geo.matching.options import MatchOptions
from dift_geo.options import check_ranges, option
from dift_geo.pairs.choose import choose_pairs, stored_pairs
from dift_geo.pairs.lists import write_pairs
from dift_geo.recipe import write_json
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["SfmOptions", "reconstruct", "reconstruct_from_files", "reconstruct_from_stores"]


@dataclass(frozen=True, kw_only=True)
class SfmOptions:
    """What can be asked of a reconstruction, once features are extracted and matched.

    Raises InputError for an unknown word or a number out of range.

    intrinsics: known cameras, from `read_intrinsics`; they start from the given parameters.
    """

    pairs: str | None = option(
        None,
        "exhaustive, sequential or a pairs file; default: what given matches hold, else exhaustive",
        metavar="HOW",
    )
    overlap: int = option(
        10, "images ahead that each is matched with, for sequential pairs", metavar="N", least=1
    )
    camera_mode: CameraMode = option("auto", "which images share a camera")
    camera_model: str = option("SIMPLE_RADIAL", "a camera model of COLMAP", metavar="MODEL")
    mapper: MapperName = option("incremental", "COLMAP's mapper; global is GLOMAP")
    seed: int = option(0, "of RANSAC and of the mapper's first attempt")
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        check_ranges(self)

    def recipe(self) -> dict[str, object]:
        """What determines the model of given features and matches, for `summary.json`."""
        return asdict(self)

    def choose_pairs(self, names: Sequence[str]) -> list[Pair]:
        """The pairs of the named images that are to be matched."""
        return choose_pairs(names, self.pairs or "exhaustive", self.overlap)

    def check_models(self) -> None:
        """Raise InputError for a camera model that COLMAP does not have."""
        known = (model for model, _ in (self.intrinsics or {}).values())
        check_camera_models([self.camera_model, *known])


def reconstruct(
    images: str | Path,
    out: str | Path,
    extractor: Extractor,
    options: SfmOptions = SfmOptions(),
    match: MatchOptions = MatchOptions(),
    *,
    strict: bool = False,
    masks: str | Path | None = None,
    device: str = "cpu",
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

    Raises InputError when fewer than two images can be read or options do not fit them, and
    NoModelError when COLMAP finds no model.
    """
    out = Path(out)
    names = list_images(images)
    _need_two(names, f"{images} holds {len(names)} image(s)")
    options.check_models()
    options.choose_pairs(names)  # a file of pairs that does not fit is refused before any work
    features, matches = out / "features.h5", out / "matches.h5"
    summary = _fresh_summary(out)
    watch = _Watch()
    skipped = extract_images(images, names, extractor, features, strict=strict, masks=masks)
    watch.lap("extract")
    readable = [name for name in names if name not in set(skipped)]
    _need_two(readable, f"{len(readable)} of {len(names)} images in {images} can be read")
    pairs = options.choose_pairs(readable)
    _need_pairs(pairs, options.pairs or "exhaustive", f"the {len(readable)} readable images")
    write_pairs(out / "pairs.txt", pairs)
    match_pairs(features, pairs, matches, match, device=device)
    watch.lap("match")
    result = reconstruct_from_stores(images, features, matches, pairs, out, options)
    recipe = {"extractor": extractor.recipe(), "match": match.recipe(), **options.recipe()}
    about = {
        "images": len(readable),
        "skipped": skipped,
        "seconds": watch.seconds | result.summary["seconds"],
    }
    return _finished(result, summary, about, recipe)


def reconstruct_from_files(
    images: str | Path,
    out: str | Path,
    features: str | Path,
    matches: str | Path | None = None,
    options: SfmOptions = SfmOptions(),
    match: MatchOptions = MatchOptions(),
    *,
    device: str = "cpu",
) -> Reconstruction:
    """Photos with features, and perhaps matches, that hloc or we wrote -> a COLMAP model.

    images: folder of the photos.
    out: gets pairs.txt, database.db, sparse/ and summary.json, and matches.h5 where none are given.
    features: a features store.
    matches: a matches store; None leaves the matching to us.
    options: of pairs and mapping.
    match: which mutual nearest neighbours are kept, where the matching is ours.
    device: where descriptors are compared.

    Raises InputError when no pair is left, MissingNameError when a pair has no matches, and
    NoModelError when COLMAP finds no model.
    """
    out = Path(out)
    options.check_models()
    with FeatureStore(features) as store:
        names = list(store)
    if matches is not None and options.pairs is None:
        pairs = stored_pairs(names, matches)
    else:
        pairs = options.choose_pairs(names)
    _need_pairs(pairs, matches or features, f"{len(names)} images")
    summary = _fresh_summary(out)
    write_pairs(out / "pairs.txt", pairs)
    recipe: dict[str, object] = {"features": str(features)}
    if matches is None:
        matches = out / "matches.h5"
        recipe["match"] = match.recipe()
        match_pairs(features, pairs, matches, match, device=device)
    recipe |= {"matches": str(matches), **options.recipe()}
    result = reconstruct_from_stores(images, features, matches, pairs, out, options)
    return _finished(result, summary, {"skipped": []}, recipe)


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
    """Stores -> `OUT/database.db` -> the best model in `OUT/sparse/`.

    pairs: names of the images; the pairs that `options` would choose play no part.
    verify: off, matches are taken as verified.

    Raises NoModelError instead of leaving an empty model.
    """
    out = Path(out)
    options.check_models()
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "sparse", ignore_errors=True)  # an old model must not pass for a new one
    watch = _Watch()
    found = _fill_database(
        out / "database.db", images, features_path, matches_path, pairs, options, verify
    )
    watch.lap("verify")
    models = map_database(
        out / "database.db", images, out / "models", mapper=options.mapper, seed=options.seed
    )
    watch.lap("map")
    shutil.rmtree(out / "models", ignore_errors=True)
    if not models:
        raise NoModelError(
            f"COLMAP found no model: {found['images']} images, "
            f"{found['matches_mean']} matches per pair, "
            f"{found['verified_pairs']} of {len(pairs)} pairs verified; expected overlapping "
            "photos taken from different places. "
            "More keypoints (--max-keypoints) or a larger --size may help"
        )
    (out / "sparse").mkdir()
    models[0].write(str(out / "sparse"))
    summary = found | {"seconds": watch.seconds} | model_summary(models)
    return Reconstruction(models[0], out / "sparse", summary)


def _need_two(names: Sequence[str], found: str) -> None:
    if len(names) < 2:
        raise InputError(f"{found}, expected at least 2 to reconstruct")


def _need_pairs(pairs: Sequence[Pair], source: str | Path, images: str) -> None:
    if not pairs:
        raise InputError(f"{source} gives no pair of {images}, expected at least one")


def _fresh_summary(out: Path) -> Path:
    """Make the folder; the path of its summary, which speaks of finished runs only."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "summary.json"
    path.unlink(missing_ok=True)
    return path


def _fill_database(
    path: Path,
    images: str | Path,
    features_path: str | Path,
    matches_path: str | Path,
    pairs: Sequence[Pair],
    options: SfmOptions,
    verify: bool,
) -> dict[str, Any]:
    """A database of cameras, features and verified matches; what the summary says of them."""
    names = sorted(set(chain.from_iterable(pairs)))
    with quiet():
        ids = build_database(
            path,
            images,
            names,
            camera_mode=options.camera_mode,
            camera_model=options.camera_model,
            intrinsics=options.intrinsics,
        )
    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        import_features(path, ids, features)
        counts = import_matches(path, ids, pairs, matches, verified=not verify)
    inliers = verify_database(path, pairs, seed=options.seed) if verify else counts
    return {
        "images": len(names),
        "pairs": len(pairs),
        "matches_mean": _mean(counts),
        "inliers_mean": _mean(inliers),
        "verified_pairs": int(np.count_nonzero(inliers)),
    }


def _mean(counts: Sequence[int]) -> float:
    return round(float(np.mean(counts)), 1) if counts else 0.0


def _finished(
    result: Reconstruction, path: Path, about: Mapping[str, object], recipe: Mapping[str, object]
) -> Reconstruction:
    """The result with all that `summary.json` says, which is written to `path`."""
    summary = result.summary | {**about, "recipe": recipe, "dift_geo": __version__}
    write_json(path, summary)
    return Reconstruction(result.model, result.folder, summary)


class _Watch:
    """Seconds of one stage after the other, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, stage: str) -> None:
        """The stage that ends now."""
        now = time.monotonic()
        self.seconds[stage] = round(now - self._since, 2)
        self._since = now
