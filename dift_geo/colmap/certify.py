"""Models with their certificates of trust: of a run of ours, and of any COLMAP model.

Brings together the runs of the mapper and what they say of each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from dift_geo.colmap.agreement import Poses, disagreements_deg, quantile_deg
from dift_geo.colmap.finishing import with_all_matches
from dift_geo.colmap.mapping import cam_from_world, count_images
from dift_geo.colmap.opinions import SMALL, Opinion, ask_mapper, is_witness
from dift_geo.colmap.quiet import quiet
from dift_geo.colmap.transaction import copy_database
from dift_geo.colmap.trust import AGREE_SHARE, Trust, gather, judge
from dift_geo.detectors.colmap_database import read_database
from dift_geo.errors import InputError, MissingFileError, NoModelError

if TYPE_CHECKING:
    import pycolmap

__all__ = ["certificate", "handed_over", "trust_model"]


def handed_over(
    opinions: Sequence[Opinion],
    database: str | Path,
    folder: str | Path,
    images: str | Path,
    threads: int = 1,
    free: Collection[int] = (),
) -> tuple[list[pycolmap.Reconstruction], Trust]:
    """The models of the first of several opinions as they are handed over, and the trust in them.

    Runs are compared with all matches, as a user would have them: without a tenth they differ by
    degrees between photos that lie close together. Of many photos, where that takes its time, they
    are compared as they are.

    For the arguments see `Opinion.finished`.
    """
    made = opinions[0].finished(database, folder, images, threads, free)
    count, whole = count_images(database), None
    if count <= SMALL:
        others = [
            one.whole_poses(database, folder, threads, free)
            if is_witness(one, opinions[0])
            else one.poses
            for one in opinions[1:]
        ]
        whole = [cam_from_world(made[0]), *others]
    return made, certificate(opinions, count, whole)


def certificate(
    opinions: Sequence[Opinion], images: int, whole: Sequence[Poses] | None = None
) -> Trust:
    """The trust in the first of several opinions.

    images: that there are, registered or not.
    whole: where each has the cameras when it knows all matches; None compares them as they are.
    """
    best = opinions[0]
    poses = [opinion.poses for opinion in opinions] if whole is None else whole
    others = [
        said for one, said in zip(opinions, poses) if one is not best and is_witness(one, best)
    ]
    return judge(gather(best.models[0], best.held, others, images, poses[0]))


def trust_model(
    model: str | Path, database: str | Path, *, seed: int = 0, threads: int = 1
) -> Trust:
    """The trust in a model that any program made of a COLMAP database.

    The mapper runs anew on copies of the database, and the model is compared with what it makes.
    Of the matches withheld there the model in question may have seen all.

    model: a folder with cameras, images and points in COLMAP's files; it does not change.
    database: with its verified pairs; it does not change.
    seed: of the first run.
    threads: as `ask_mapper` takes it.

    Raises MissingFileError and InputError for a model or database that cannot be read or do not
    belong together, and NoModelError where the mapper makes no model of the database.
    """
    found = _read_model(Path(model), Path(database))
    with TemporaryDirectory() as folder:
        opinions = ask_mapper(database, folder, seed=seed, threads=threads)
        if not opinions:
            raise NoModelError(
                f"COLMAP finds no model in {database}, so there is nothing to compare {model} with"
            )
        own, poses, copy = cam_from_world(found), [], Path(folder) / "whole.db"
        copy_database(database, copy)  # COLMAP brings what it opens to its own version
        for opinion in opinions:
            if is_witness(opinion, opinions[0]):
                whole = with_all_matches(opinion.models[0], copy, folder, threads)
                poses.append(_nearer(own, opinion.poses, cam_from_world(whole)))
        images = count_images(database)
        return judge(gather(found, opinions[0].held, poses, images))


def _nearer(own: Poses, *said: Poses) -> Poses:
    """Of what a run says as it ended and as it is handed over, what is nearer to a model.

    Nobody knows by which of the two the model was made, and they differ by a degree or two between
    photos that lie close together.
    """

    def apart(poses: Poses) -> float:
        found = quantile_deg(disagreements_deg(own, [poses]), AGREE_SHARE)
        return np.inf if found is None else found

    return min(said, key=apart)


def _read_model(folder: Path, database: Path) -> pycolmap.Reconstruction:
    """A model whose images the database has."""
    import pycolmap

    if not any((folder / f"images.{kind}").exists() for kind in ("bin", "txt")):
        raise MissingFileError(
            f"{folder} holds no COLMAP model, expected cameras, images and points3D as .bin or .txt"
        )
    try:
        with quiet(pycolmap.logging.Level.FATAL):
            model = pycolmap.Reconstruction(str(folder))
    except (RuntimeError, ValueError, IndexError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{folder} cannot be read as a COLMAP model: {line}") from error
    posed = cam_from_world(model)
    if len(posed) < 2:
        raise InputError(f"{folder} has {len(posed)} image(s) with a pose, expected at least 2")
    with read_database(database) as source:
        unknown = sorted(posed.keys() - source.image_ids().keys())
    if unknown:
        raise InputError(
            f"{unknown[0]!r} of {folder} is not in {database}; expected the database that the "
            "model was made of"
        )
    return model
