"""A model made whole: with the matches that its run was not shown, and finer cameras.

A run of the mapper is judged by matches that were withheld from it; the model that is handed over
has no reason to be without them. Most poses move by little, and where they do not, the model stays
as it was judged. Knows nothing of how runs are chosen.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.colmap.adjustment import Adjustment
from dift_geo.colmap.agreement import disagreements_deg, quantile_deg
from dift_geo.colmap.lenses import refined
from dift_geo.colmap.mapping import cam_from_world, count_images, incremental_options
from dift_geo.colmap.pixels import pixel_scale
from dift_geo.colmap.quiet import quiet

if TYPE_CHECKING:
    import pycolmap

__all__ = ["with_all_matches"]

# Directions between photos that lie close together move by degrees, and to the better; a model
# of which half of the pairs move so far is not what was judged
MOVED_DEG, MOVED_SHARE = 1.0, 0.5
# COLMAP's own limit: what lies near it hardly counts in a robust adjustment, and leaves the model
# after it
SHOWN_PX = 4.0


def with_all_matches(
    model: pycolmap.Reconstruction,
    database: str | Path,
    folder: str | Path,
    threads: int = 1,
    free: Collection[int] = (),
) -> pycolmap.Reconstruction:
    """The same images with points of all verified matches, adjusted once more.

    The model itself does not change, and is returned where the other one would have fewer images or
    points, or poses of its own.

    database: with all verified pairs; it does not change.
    folder: for what COLMAP writes meanwhile.
    threads: as `ask_mapper` takes it.
    free: ids of the cameras that may become finer, as `lenses` has it; none by default.
    """
    import pycolmap

    threads, count, scale = threads or -1, count_images(database), pixel_scale(database)
    options = incremental_options(0, count, threads, scale)
    kept_px = options.mapper.filter_max_reproj_error
    options.mapper.filter_max_reproj_error = SHOWN_PX * scale
    with quiet(pycolmap.logging.Level.FATAL):
        whole = pycolmap.triangulate_points(
            pycolmap.Reconstruction(model),
            str(database),
            str(folder),  # no photo is read
            str(folder),
            clear_points=True,
            options=options,
            refine_intrinsics=False,
        )
    # fewer points come out where all tracks are of two views, which COLMAP leaves out here
    if whole.num_points3D() < model.num_points3D():
        return model
    adjustment = Adjustment(scale, threads, cameras=count > 2)
    adjustment.solve(whole)
    if free:
        whole = refined(whole, free, adjustment)
    observed = pycolmap.ObservationManager(whole)
    observed.filter_all_points3D(kept_px, options.mapper.filter_min_tri_angle)
    apart = disagreements_deg(cam_from_world(model), [cam_from_world(whole)])
    moved = quantile_deg(apart, MOVED_SHARE)
    same_images = whole.num_reg_images() == model.num_reg_images()
    return whole if same_images and moved is not None and moved <= MOVED_DEG else model
