"""Which matches agree with the geometry of two views: COLMAP's verification of a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dift_geo.colmap.draws import Drawn, forget_drawn, read_drawn, write_agreed
from dift_geo.colmap.opened import require_room
from dift_geo.colmap.pixels import pixel_scale
from dift_geo.colmap.quiet import quiet
from dift_geo.colmap.transaction import (
    copy_database,
    forget_pairs,
    one_transaction,
    replace_pairs,
)
from dift_geo.detectors.colmap_database import pair_id_of, read_database
from dift_geo.errors import MissingNameError
from dift_geo.types import Pair

if TYPE_CHECKING:
    import pycolmap

__all__ = ["VERIFY_PX", "Verification", "draws_for", "verify_database"]

# COLMAP's own 4 px verify neighbours of the true keypoint: docs/results.md
VERIFY_PX = 1.5
# all pairs of 30 photos; of more there is enough beside a pair that its draw does not matter.
# With 3 draws the model of a bag of twelve still moves by as much as with 1, with 7 by a quarter
FEW_PAIRS, DRAWS = 435, 7


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What makes a pair a verified one.

    max_error_px: inlier threshold of COLMAP's two-view estimation, for photos of up to 1600 pixels
        a side; for larger ones it grows with them (see `pixels`).
    min_inliers: matches of a pair that have to agree.
    min_inlier_ratio: the share of its matches that has to.
    draws: how often each pair is verified; what most say counts. None is `draws_for` the pairs.
    """

    max_error_px: float = VERIFY_PX
    min_inliers: int = 15
    min_inlier_ratio: float = 0.0
    draws: int | None = None


Ids = Sequence[tuple[int, int]]  # pairs of image ids


def verify_database(
    path: str | Path,
    pairs: Sequence[Pair],
    asked: Verification = Verification(),
    *,
    seed: int = 0,
) -> list[int]:
    """Verify pairs geometrically in place; returns inlier counts, 0 where it failed.

    What the database holds of other pairs stays. Names are never changed.

    asked: what makes a pair a verified one.
    seed: of its random draws; no two seeds share any.

    Raises MissingNameError for an image that the database does not have.
    """
    import pycolmap

    path = Path(path)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = asked.max_error_px * pixel_scale(path)
    draws = asked.draws or draws_for(len(pairs))
    options.ransac.random_seed = seed * draws
    options.min_num_inliers = asked.min_inliers
    options.min_inlier_ratio = asked.min_inlier_ratio
    numbered, others, is_fresh = _plan(path, pairs)
    if is_fresh and not others:
        _verify(path, options, draws)
    else:  # COLMAP verifies all that has matches, or goes by names, which spaces break
        with TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            copy_database(path, copy)
            forget_pairs(copy, others)
            _verify(copy, options, draws)
            with one_transaction(path) as sql:
                replace_pairs(sql, numbered, copy, matches=False)
    return _inlier_counts(path, numbered)


def draws_for(pairs: int) -> int:
    """How often each of so many pairs is verified: few several times, as each counts there."""
    return DRAWS if pairs <= FEW_PAIRS else 1


def _plan(path: Path, pairs: Sequence[Pair]) -> tuple[Ids, Ids, bool]:
    """Image ids of the pairs, those of other pairs with matches, and whether none is verified."""
    with read_database(path) as database:
        ids = database.image_ids()
        unknown = sorted({name for pair in pairs for name in pair if name not in ids})
        if unknown:
            raise MissingNameError(
                f"{unknown[0]!r} is not in {path}; expected one of its {len(ids)} images"
            )
        numbered = [(ids[a], ids[b]) for a, b in pairs]
        wanted = {pair_id_of(*pair) for pair in numbered}
        others = [pair for pair in database.pairs() if pair_id_of(*pair) not in wanted]
        return numbered, others, not database.inlier_counts()


def _verify(path: Path, options: pycolmap.TwoViewGeometryOptions, draws: int) -> None:
    """All matches of a database of ours, none of which is verified."""
    import pycolmap

    require_room(path, path.stat().st_size)  # at most as much as there is
    drawn: list[Drawn] = []
    for _ in range(draws):
        if drawn:
            forget_drawn(path)
            options.ransac.random_seed += 1
        with quiet():
            pycolmap.geometric_verification(str(path), two_view_geometry_options=options)
        if draws > 1:
            drawn.append(read_drawn(path))
    if drawn:
        write_agreed(path, drawn, options.min_num_inliers, options.min_inlier_ratio)


def _inlier_counts(path: Path, pairs: Ids) -> list[int]:
    with read_database(path) as database:
        counts = database.inlier_counts()
    return [counts.get(pair_id_of(*pair), 0) for pair in pairs]
