"""Bundle adjustment of a finished model: robust, and of no more of its cameras than was asked.

Knows COLMAP's models; what is to be adjusted, others say.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dift_geo.colmap.quiet import quiet

if TYPE_CHECKING:
    import pycolmap

__all__ = ["Adjustment", "whole_problem"]

# a residual counts in full up to about so much; where COLMAP's limit alone decides which matches
# count, a match more or less at it moves the poses: docs/results.md
ROBUST_PX = 0.5


@dataclass(frozen=True)
class Adjustment:
    """How models of one database are adjusted.

    scale: of limits in pixels.
    threads: -1 takes all processors.
    cameras: whether focal lengths and distortion move, too.
    """

    scale: float
    threads: int
    cameras: bool = True

    def solve(self, model: pycolmap.Reconstruction, centres: Collection[int] = ()) -> None:
        """Adjust everything in place, in the frame of two cameras.

        centres: ids of cameras whose principal points move, too.
        """
        import pycolmap

        options, config = whole_problem(model, centres)
        options.refine_focal_length = options.refine_extra_params = self.cameras
        options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = ROBUST_PX * self.scale
        options.ceres.solver_options.num_threads = self.threads
        with quiet(pycolmap.logging.Level.FATAL):
            pycolmap.create_default_bundle_adjuster(options, config, model).solve()
        model.update_point_3d_errors()


def whole_problem(
    model: pycolmap.Reconstruction, centres: Collection[int] = ()
) -> tuple[pycolmap.BundleAdjustmentOptions, pycolmap.BundleAdjustmentConfig]:
    """Every registered image, in the frame of two cameras; for the rest as COLMAP has it.

    centres: ids of cameras whose principal points move; where there are any, cameras beside them
        are constant.
    """
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions(print_summary=False)
    config = pycolmap.BundleAdjustmentConfig()
    for number in model.reg_image_ids():
        config.add_image(number)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    if centres:
        options.refine_principal_point = True  # of all cameras that are not constant
        for number in set(model.cameras) - set(centres):
            config.set_constant_cam_intrinsics(number)
    return options, config
