"""Which images of a COLMAP model see the same points. Knows no features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.pairs.ranked import Ranking, rank_scores

if TYPE_CHECKING:
    import pycolmap

__all__ = ["rank_covisible"]


def rank_covisible(model: pycolmap.Reconstruction, count: int, wanted: Sequence[str]) -> Ranking:
    """The `count` images that share most points with each, of the wanted ones that are registered.

    Raises InputError for a model without points.
    """
    if not model.points3D:
        raise InputError("the model has no points, expected some that images share")
    by_name = {image.name: image for image in model.images.values() if image.has_pose}
    names = [name for name in wanted if name in by_name]
    shared = _shared(model, [by_name[name] for name in names])
    return rank_scores(shared, names, count, least=0)


def _shared(
    model: pycolmap.Reconstruction, images: list[pycolmap.Image]
) -> Iterator[tuple[str, NDArray]]:
    """Each image with the numbers of points that it shares with all of them."""
    place = {image.image_id: i for i, image in enumerate(images)}
    seen_by = {
        number: np.unique([place[e.image_id] for e in point.track.elements if e.image_id in place])
        for number, point in model.points3D.items()
    }
    none = np.zeros(0, np.intp)
    for image in images:
        points = {point.point3D_id for point in image.points2D if point.has_point3D()}
        tracks = [seen_by[number] for number in points]
        yield image.name, np.bincount(np.concatenate([none, *tracks]), minlength=len(images))
