"""Stores of features and matches -> a COLMAP database with cameras and verified pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from dift_geo.colmap.cameras import CameraMode, Intrinsics
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    quiet,
    verify_database,
)
from dift_geo.colmap.doors import check_photos
from dift_geo.colmap.verification import Verification
from dift_geo.detectors.colmap_database import read_database
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["Stores", "fill_database"]


@dataclass(frozen=True)
class Stores:
    """What a model is made of: files of features and matches, and the pairs that count."""

    features: Path
    matches: Path
    pairs: Sequence[Pair]

    def names(self) -> list[str]:
        """The images that pairs name, sorted."""
        return sorted(set(chain.from_iterable(self.pairs)))


def fill_database(
    path: str | Path,
    images: str | Path,
    stores: Stores,
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
    seed: int = 0,
    verify: bool = True,
    verification: Verification = Verification(),
) -> dict[str, Any]:
    """A new database of cameras, features and matches; returns what `summary.json` says of them.

    seed: of the verification.
    verify: off, matches are taken as verified.
    verification: what makes a pair a verified one.

    For the rest see `build_database`. Raises InputError for features or matches that do not fit
    the photos or each other.
    """
    names, pairs = stores.names(), stores.pairs
    with FeatureStore(stores.features) as features:
        check_photos(images, features, names)
    with quiet():
        ids = build_database(
            path,
            images,
            names,
            camera_mode=camera_mode,
            camera_model=camera_model,
            intrinsics=intrinsics,
        )
    with FeatureStore(stores.features) as features, MatchStore(stores.matches) as matches:
        import_features(path, ids, features)
        counts = import_matches(path, ids, pairs, matches, verified=not verify)
    inliers = verify_database(path, pairs, verification, seed=seed) if verify else counts
    with read_database(path) as database:
        keypoints = database.keypoint_counts()
    return {
        "images": len(names),
        "keypoints_mean": _mean(keypoints),
        "pairs": len(pairs),
        "matches_mean": _mean(counts),
        "inliers_mean": _mean(inliers),
        "verified_pairs": int(np.count_nonzero(inliers)),
    }


def _mean(counts: Sequence[int]) -> float:
    return round(float(np.mean(counts)), 1) if counts else 0.0
