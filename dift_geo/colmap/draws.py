"""Several verifications of a database, made one: the matches that most of them call inliers.

RANSAC draws at random, and where photos are few, a match in a hundred more or less moves a model by
degrees. Knows databases; verifies nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.opened import opened

if TYPE_CHECKING:
    import pycolmap

__all__ = ["Drawn", "agreed", "forget_drawn", "read_drawn", "write_agreed"]

Drawn = Mapping[int, "pycolmap.TwoViewGeometry"]  # of verified pairs, by COLMAP's number of a pair


def read_drawn(path: str | Path) -> Drawn:
    """What a verification found; pairs where it failed are left out."""
    with opened(path) as database:
        return dict(zip(*database.read_two_view_geometries()))


def forget_drawn(path: str | Path) -> None:
    """Make all pairs of a database unverified ones."""
    with opened(path) as database:
        database.clear_two_view_geometries()


def write_agreed(
    path: str | Path, drawn: Sequence[Drawn], min_inliers: int, min_inlier_ratio: float
) -> None:
    """Put what most of several verifications say in place of the last one.

    path: the database, where every pair has been verified.
    min_inliers: matches that have to be left of a verified pair.
    min_inlier_ratio: the share of its matches.
    """
    import pycolmap

    failed = pycolmap.TwoViewGeometry(
        config=pycolmap.TwoViewGeometryConfiguration.DEGENERATE,
        inlier_matches=np.zeros((0, 2), np.uint32),
    )
    with opened(path) as database, pycolmap.DatabaseTransaction(database):
        for number in sorted(set().union(*drawn)):
            ids = pycolmap.pair_id_to_image_pair(number)
            found = agreed([one.get(number) for one in drawn])
            least = min_inliers
            if min_inlier_ratio > 0:
                total = len(database.read_matches(*ids))
                least = max(least, int(np.ceil(min_inlier_ratio * total)))
            if found is None or len(found.inlier_matches) < least:
                found = failed
            database.update_two_view_geometry(*ids, found)


def agreed(found: Sequence[pycolmap.TwoViewGeometry | None]) -> pycolmap.TwoViewGeometry | None:
    """The geometry with most inliers of the kind that most say, with the inliers that most say.

    found: of one pair; None where a verification failed.
    None where most failed.
    """
    held = [one for one in found if one is not None and len(one.inlier_matches)]
    if 2 * len(held) <= len(found):
        return None
    kinds = Counter(one.config for one in held)
    best = max(held, key=lambda one: (kinds[one.config], len(one.inlier_matches)))
    best.inlier_matches = _majority([one.inlier_matches for one in held], len(found))
    return best


def _majority(inliers: Sequence[NDArray[np.uint32]], asked: int) -> NDArray[np.uint32]:
    """(M, 2) rows that more than half of `asked` lists hold, in order."""
    rows, counts = np.unique(np.concatenate(inliers), axis=0, return_counts=True)
    return np.ascontiguousarray(rows[2 * counts > asked], np.uint32)
