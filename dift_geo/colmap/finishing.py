"""A model made whole: with the matches that its run was not shown.

A run of the mapper is judged by matches that were withheld from it; the model that is handed over
has no reason to be without them. Poses move by little, and where they do not, the model stays as it
was judged. Knows nothing of how runs are chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.colmap.agreement import disagreements_deg, quantile_deg
from dift_geo.colmap.mapping import cam_from_world, count_images, incremental_options
from dift_geo.colmap.pixels import pixel_scale
from dift_geo.colmap.quiet import quiet

if TYPE_CHECKING:
    import pycolmap

__all__ = ["with_all_matches"]

# what runs may differ by where a model is to be trusted; further off it is not what was judged
MOVED_DEG, MOVED_SHARE = 1.5, 0.9


def with_all_matches(
    model: pycolmap.Reconstruction, database: str | Path, folder: str | Path, threads: int = 1
) -> pycolmap.Reconstruction:
    """The same images with points of all verified matches, adjusted once more.

    The model itself does not change, and is returned where the other one would have fewer images or
    points, or poses of its own.

    database: with all verified pairs; it does not change.
    folder: for what COLMAP writes meanwhile.
    threads: as `ask_mapper` takes it.
    """
    import pycolmap

    threads = threads or -1
    count = count_images(database)
    options = incremental_options(0, count, threads, pixel_scale(database))
    adjustment = options.get_global_bundle_adjustment()
    adjustment.ceres.solver_options.num_threads = threads
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
        pycolmap.create_default_bundle_adjuster(adjustment, _all_images(whole), whole).solve()
    apart = disagreements_deg(cam_from_world(model), [cam_from_world(whole)])
    moved = quantile_deg(apart, MOVED_SHARE)
    same_images = whole.num_reg_images() == model.num_reg_images()
    return whole if same_images and moved is not None and moved <= MOVED_DEG else model


def _all_images(model: pycolmap.Reconstruction) -> pycolmap.BundleAdjustmentConfig:
    """What is adjusted: everything, in the frame of two cameras."""
    import pycolmap

    config = pycolmap.BundleAdjustmentConfig()
    for number in model.reg_image_ids():
        config.add_image(number)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    return config
