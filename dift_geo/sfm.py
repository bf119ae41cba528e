"""The main road in one call: a folder of photos in, a COLMAP model out, resumable at every stage.

Glue only: each step lives in a module of its own.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from dift_geo import __version__
from dift_geo.colmap.cameras import CameraMode, Intrinsics
from dift_geo.colmap.mapping import MapperName, Reconstruction, reconstruct_from_stores
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError
from dift_geo.extractor import Extractor
from dift_geo.images import list_images
from dift_geo.pairs.choose import choose_pairs, stored_pairs
from dift_geo.pairs.lists import write_pairs
from dift_geo.store.features import FeatureStore

__all__ = ["reconstruct", "reconstruct_from_files", "write_summary"]


def reconstruct(
    images: str | Path,
    out: str | Path,
    extractor: Extractor,
    *,
    pairs: str = "exhaustive",
    overlap: int = 10,
    ratio: float | None = None,
    min_similarity: float | None = None,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
    mapper: MapperName = "incremental",
    seed: int = 0,
    strict: bool = False,
    device: str = "cpu",
) -> Reconstruction:
    """Photos below `images` -> `OUT/{features.h5, matches.h5, pairs.txt, database.db, sparse/,
    summary.json}`.

    pairs: `exhaustive`, `sequential` or a pairs file. strict: stop at the first unreadable image
    instead of skipping it. Raises ValueError when fewer than two images can be read, NoModelError
    when COLMAP finds no model; finished stages stay on disk and a rerun goes on from them.
    """
    out = Path(out)
    names = list_images(images)
    if len(names) < 2:
        raise InputError(
            f"{images} holds {len(names)} image(s), expected at least 2 to reconstruct"
        )
    out.mkdir(parents=True, exist_ok=True)
    summary_path = out / "summary.json"
    summary_path.unlink(missing_ok=True)  # it speaks of finished runs only
    start = time.monotonic()
    skipped = extract_images(images, names, extractor, out / "features.h5", strict=strict)
    extracted = time.monotonic()
    readable = [name for name in names if name not in set(skipped)]
    if len(readable) < 2:
        raise InputError(
            f"{len(readable)} of {len(names)} images in {images} can be read, expected at least 2"
        )
    chosen = choose_pairs(readable, pairs, overlap)
    if not chosen:
        raise InputError(
            f"{pairs} gives no pair of the {len(readable)} readable images, expected at least one"
        )
    write_pairs(out / "pairs.txt", chosen)
    match_pairs(
        out / "features.h5",
        chosen,
        out / "matches.h5",
        ratio=ratio,
        min_similarity=min_similarity,
        device=device,
    )
    matched = time.monotonic()
    result = reconstruct_from_stores(
        images,
        out / "features.h5",
        out / "matches.h5",
        chosen,
        out,
        camera_mode=camera_mode,
        camera_model=camera_model,
        intrinsics=intrinsics,
        mapper=mapper,
        seed=seed,
    )
    seconds = {
        "extract": round(extracted - start, 2),
        "match": round(matched - extracted, 2),
        **result.summary["seconds"],
    }
    recipe = {
        "extractor": extractor.recipe(),
        "mapper": mapper,
        "camera_mode": camera_mode,
        "seed": seed,
    }
    about = {
        "images": len(readable),
        "skipped": skipped,
        "seconds": seconds,
        "recipe": recipe,
        "dift_geo": __version__,
    }
    summary = result.summary | about
    write_summary(summary_path, summary)
    return Reconstruction(result.model, result.folder, summary)


def reconstruct_from_files(
    images: str | Path,
    out: str | Path,
    features: str | Path,
    matches: str | Path | None = None,
    *,
    pairs: str | None = None,
    overlap: int = 10,
    ratio: float | None = None,
    min_similarity: float | None = None,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
    mapper: MapperName = "incremental",
    seed: int = 0,
    device: str = "cpu",
) -> Reconstruction:
    """Photos, features and perhaps matches that hloc or we wrote -> `OUT/{database.db, sparse/,
    summary.json}`.

    pairs: as for `reconstruct`; None takes every pair that `matches` holds, or all of them where
    matching is left to us. Raises ValueError when no pair is left, KeyError when a pair has no
    matches, NoModelError when COLMAP finds no model.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)
    with FeatureStore(features) as store:
        names = list(store)
    chosen = (
        stored_pairs(names, matches)
        if matches and not pairs
        else choose_pairs(names, pairs or "exhaustive", overlap)
    )
    if not chosen:
        raise InputError(
            f"{matches or features} gives no pair of {len(names)} images, expected at least one"
        )
    write_pairs(out / "pairs.txt", chosen)
    if matches is None:
        matches = out / "matches.h5"
        match_pairs(
            features, chosen, matches, ratio=ratio, min_similarity=min_similarity, device=device
        )
    result = reconstruct_from_stores(
        images,
        features,
        matches,
        chosen,
        out,
        camera_mode=camera_mode,
        camera_model=camera_model,
        intrinsics=intrinsics,
        mapper=mapper,
        seed=seed,
    )
    recipe = {
        "features": str(features),
        "matches": str(matches),
        "mapper": mapper,
        "camera_mode": camera_mode,
        "seed": seed,
    }
    summary = result.summary | {"skipped": [], "recipe": recipe, "dift_geo": __version__}
    write_summary(out / "summary.json", summary)
    return Reconstruction(result.model, result.folder, summary)


def write_summary(path: str | Path, summary: dict[str, Any]) -> None:
    """Write JSON for machines and people."""
    Path(path).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
