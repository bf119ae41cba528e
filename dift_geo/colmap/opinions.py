"""Several runs of COLMAP's mapper on one database, and which of them counts.

The incremental mapper depends on the pair it starts from, and with it on its seed: on ten internet
photos one seed gives 2 images, the next all 10, and two models of 10 may differ by degrees. Each
run here has a seed of its own and does not see a tenth of the verified matches, another tenth every
time; those that it explains afterwards say how right it is. Knows how to run a mapper; what to
think of the answers is `trust`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.agreement import Poses, disagreements_deg, quantile_deg
from dift_geo.colmap.finishing import with_all_matches
from dift_geo.colmap.holdout import HeldOut, hold_out
from dift_geo.colmap.lenses import open_lenses
from dift_geo.colmap.mapping import (
    Job,
    MapperName,
    cam_from_world,
    count_images,
    has_ordinary_pair,
    last_resort,
)
from dift_geo.colmap.quiet import quiet
from dift_geo.colmap.transaction import copy_database
from dift_geo.colmap.uncertainty import determines_cameras
from dift_geo.errors import InputError

if TYPE_CHECKING:
    import pycolmap

__all__ = ["Opinion", "ask_mapper", "is_witness", "map_database"]

SEEDS = 8  # of the mapper, at most, where runs leave half of the images out
# up to so many images a run takes seconds, and it is worth asking until two runs agree
SMALL, SMALL_RUNS, RUNS = 30, 4, 2
AGREE_DEG, AGREE_SHARE = 1.0, 0.9
# the share of withheld matches by which a run that went wrong falls behind. Right ones differ by
# 0.02 at most where many matches are wrong, by 0.01 elsewhere
OUTDONE = 0.05
NEAR_DEG = 3.0  # where no two runs agree, those that say nearly the same count before one alone


@dataclass(frozen=True)
class Opinion:
    """What one run of the mapper made.

    models: most registered images first, then most points; may be empty.
    held: matches that the run was not shown.
    seed: of the mapper and of what was withheld.
    """

    models: list[pycolmap.Reconstruction]
    held: HeldOut
    seed: int

    @property
    def registered(self) -> int:
        """Images in the largest model."""
        return self.models[0].num_reg_images() if self.models else 0

    def finished(
        self,
        database: str | Path,
        folder: str | Path,
        images: str | Path,
        threads: int = 1,
        free: Collection[int] = (),
    ) -> list[pycolmap.Reconstruction]:
        """The models as they are handed over: of all matches, with the colours of the photos.

        Cameras of `free` have two terms of distortion in each of them.

        images: folder of the photos.
        For the rest see `with_all_matches`.
        """
        models = [with_all_matches(model, database, folder, threads, free) for model in self.models]
        for model in models:
            open_lenses(model, free)
            with quiet():
                model.extract_colors_for_all_images(str(images))
        return models

    def whole_poses(
        self, database: str | Path, folder: str | Path, threads: int = 1, free: Collection[int] = ()
    ) -> Poses:
        """Poses (3, 4) of the largest model with all matches, by name.

        For the rest see `with_all_matches`.
        """
        return cam_from_world(with_all_matches(self.models[0], database, folder, threads, free))

    @cached_property
    def poses(self) -> dict[str, NDArray[np.float64]]:
        """Poses (3, 4) of the images in the largest model, by name."""
        return cam_from_world(self.models[0]) if self.models else {}

    @cached_property
    def consistency(self) -> float:
        """The share of withheld matches that the largest model explains, in [0, 1].

        Matches of images that it does not have count as not explained, so that a model that leaves
        photos out has to be better where it stands.
        """
        total = self.held.count()
        if not (self.models and total):
            return 0.0
        return sum(witness.within for witness in self.held.ask(self.models[0]).values()) / total

    def agrees_with(self, other: Opinion, within_deg: float = AGREE_DEG) -> bool:
        """Whether both have as many images in about the same places."""
        if not self.models or self.registered != other.registered:
            return False
        apart = quantile_deg(disagreements_deg(self.poses, [other.poses]), AGREE_SHARE)
        return apart is not None and apart <= within_deg


def ask_mapper(
    path: str | Path,
    folder: str | Path,
    *,
    mapper: MapperName = "incremental",
    seed: int = 0,
    threads: int = 1,
) -> list[Opinion]:
    """Run COLMAP's mapper several times; the best opinion first, none without a model.

    Best is what another run says, too, and among those what explains most of the matches that its
    run was not shown.

    Two runs; up to `SMALL` images as many as it takes until two agree, at most `SMALL_RUNS`; and up
    to `SEEDS` while the models hold fewer than half of the images. Where all that leaves nothing,
    it tries once more with what COLMAP leaves out by itself. Where no pair of photos shows depth,
    as of a wall or by a camera that only turned, it does not try that, and models count only if
    they determine their cameras and another run says the same.

    path: the database, with verified pairs; it does not change.
    folder: for copies of the database and what the mapper writes.
    mapper: the incremental one, or the global one (GLOMAP).
    seed: of the first run; the others have the next ones.
    threads: 0 takes all processors. With one, the same database gives the same models to the last
        digit; with more, COLMAP adds numbers up in an order that differs from run to run.
    """
    if mapper not in get_args(MapperName):
        raise InputError(f"mapper is {mapper!r}, expected one of {', '.join(get_args(MapperName))}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    shown = Path(folder) / "shown.db"

    def show() -> None:
        shown.unlink(missing_ok=True)
        copy_database(path, shown)

    show()
    count, has_depth = count_images(shown), has_ordinary_pair(shown)

    def ask(number: int, *, resort: bool = False) -> Opinion:
        show()
        held = hold_out(shown, seed=number)
        job = Job(str(shown), str(folder), threads or -1)
        models = last_resort(job, number, count) if resort else job.run(mapper, number, count)
        if not has_depth:
            models = [model for model in models if determines_cameras(model)]
        return Opinion(models, held, number)

    opinions = _until_agreed(ask, seed, count)
    if not has_depth:
        opinions = [one for one in opinions if _supporters(opinions, one)]
    if not opinions and mapper == "incremental" and has_depth:
        again = [ask(seed + k, resort=True) for k in range(RUNS)]
        opinions = [opinion for opinion in again if opinion.models]
    return sorted(opinions, key=partial(_worth, opinions), reverse=True)


def is_witness(one: Opinion, best: Opinion) -> bool:
    """Whether a run says anything about the best one: if it explains about as many of the matches
    that it was not shown. One that went wrong itself is no reason to doubt the other.
    """
    return one.consistency >= best.consistency - OUTDONE


def _until_agreed(ask: Callable[[int], Opinion], seed: int, count: int) -> list[Opinion]:
    """Opinions that hold a model, in the order of their seeds."""
    found: list[Opinion] = []
    runs = SMALL_RUNS if count <= SMALL else RUNS
    for number in range(seed, seed + SEEDS):
        opinion = ask(number)
        if opinion.models:
            found.append(opinion)
        best = max(found, key=partial(_worth, found), default=None)
        if best is None or best.registered < count / 2 or len(found) < RUNS:
            continue
        if _supporters(found, best) or number - seed + 1 >= runs:
            break
    return found


def _supporters(opinions: Sequence[Opinion], one: Opinion, within_deg: float = AGREE_DEG) -> int:
    """How many other opinions are about the same."""
    return sum(one.agrees_with(other, within_deg) for other in opinions if other is not one)


def _worth(opinions: Sequence[Opinion], one: Opinion) -> tuple[bool, bool, float, int, int]:
    """By which the best of several is found: that a second one says the same counts first, as one
    alone may happen to explain the few matches that it was not shown.
    """
    whole = 2 * one.registered >= max(other.registered for other in opinions)
    supported = whole and _supporters(opinions, one) > 0
    nearly = whole and _supporters(opinions, one, NEAR_DEG) > 0
    return supported, nearly, one.consistency, one.registered, one.models[0].num_points3D()


def map_database(
    path: str | Path,
    images: str | Path,
    folder: str | Path,
    *,
    mapper: MapperName = "incremental",
    seed: int = 0,
    threads: int = 1,
) -> list[pycolmap.Reconstruction]:
    """The models of the best opinion of `ask_mapper`, largest first; empty when there is none.

    images: folder of the photos, for the colours of the points.
    """
    opinions = ask_mapper(path, folder, mapper=mapper, seed=seed, threads=threads)
    if not opinions:
        return []
    return opinions[0].finished(path, folder, images, threads)
