"""One run of COLMAP's mapper on a database, and what a model says of itself.

Knows pycolmap; no stores, no networks, and nothing of which run to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.database import quiet
from dift_geo.colmap.opened import opened
from dift_geo.colmap.pixels import pixel_scale
from dift_geo.detectors.colmap_database import read_database
from dift_geo.errors import NoModelError, WriteError

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "MAX_REPROJECTION_PX",
    "Job",
    "MapperName",
    "NoModelError",
    "Reconstruction",
    "cam_from_world",
    "count_images",
    "has_ordinary_pair",
    "last_resort",
    "model_summary",
    "write_models",
]

MapperName = Literal["incremental", "global"]
Options = TypeVar("Options")
# observations beyond leave the model; COLMAP's own 4 lets in neighbours of the true keypoint. Of
# photos of up to 1600 pixels a side, and more in larger ones
MAX_REPROJECTION_PX = 2.0
# COLMAP's least number of inliers of a pair; poses that fewer points hold say nothing
LEAST_POINTS = 15


@dataclass(frozen=True)
class Reconstruction:
    """What came out.

    model: COLMAP's.
    folder: where it lies.
    summary: the numbers of `summary.json`.
    """

    model: pycolmap.Reconstruction
    folder: Path
    summary: dict[str, Any]

    @property
    def cam_from_world(self) -> dict[str, NDArray[np.float64]]:
        """Poses (3, 4) of the registered images, by name."""
        return cam_from_world(self.model)


def cam_from_world(model: pycolmap.Reconstruction) -> dict[str, NDArray[np.float64]]:
    """Poses (3, 4) of the registered images of a model, by name."""
    return {
        image.name: np.asarray(image.cam_from_world().matrix())
        for image in model.images.values()
        if image.has_pose
    }


def model_summary(models: Sequence[pycolmap.Reconstruction]) -> dict[str, Any]:
    """What `summary.json` says of models, the best of which comes first."""
    best = models[0]
    return {
        "registered": best.num_reg_images(),
        "models": len(models),
        "models_registered": [model.num_reg_images() for model in models],
        "points": best.num_points3D(),
        "reprojection_px": round(best.compute_mean_reprojection_error(), 4),
        "track_length_mean": round(best.compute_mean_track_length(), 3),
    }


def write_models(folder: str | Path, models: Sequence[pycolmap.Reconstruction]) -> None:
    """Models in COLMAP's binary files, the best of which comes first.

    Each has a folder `0`, `1`, ... as COLMAP writes them; the best lies in `folder` itself, too.
    Raises WriteError where a disk takes only a part: COLMAP does not look.
    """
    for index, model in enumerate(models):
        least = _least_bytes(model)
        places = [Path(folder) / str(index)] + ([Path(folder)] if index == 0 else [])
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            model.write(str(place))
            _check_written(place, least)


def _least_bytes(model: pycolmap.Reconstruction) -> dict[str, int]:
    """What the files of a model have at least, by their names."""
    points2D = sum(image.num_points2D() for image in model.images.values())
    return {
        "points3D.bin": 8 + 51 * model.num_points3D() + 8 * model.compute_num_observations(),
        "images.bin": 8 + 72 * len(model.images) + 24 * points2D,
        "cameras.bin": 8 + 24 * len(model.cameras),
        "frames.bin": 8,
        "rigs.bin": 8,
    }


def _check_written(place: Path, least: Mapping[str, int]) -> None:
    """By the lengths of the files: reading half a file, COLMAP would take all memory."""
    for name, size in least.items():
        if (place / name).stat().st_size < size:
            raise WriteError(
                f"{place / name} holds a part of the model only: the disk took no more; make room "
                "on it or choose another folder"
            )


def count_images(path: str | Path) -> int:
    """Images in a database."""
    with read_database(path) as database:
        return len(database.image_ids())


def has_ordinary_pair(path: str | Path) -> bool:
    """Whether any verified pair of a database, one of ours, shows depth.

    Pairs of a plane, of a camera that only turned, and of a common watermark do not. A plane is one
    where a homography explains the inliers, too, within COLMAP's own 4 px: within less, the noise
    of keypoints passes for depth.
    """
    scale = pixel_scale(path)
    with opened(path) as database:
        pair_ids, found = database.read_two_view_geometries()
        pairs = sorted(zip(pair_ids, found), key=lambda pair: -len(pair[1].inlier_matches))
        return any(_shows_depth(database, *pair, scale) for pair in pairs)


def _shows_depth(
    database: pycolmap.Database, pair_id: int, found: pycolmap.TwoViewGeometry, scale: float
) -> bool:
    import pycolmap

    kinds = pycolmap.TwoViewGeometryConfiguration
    ordinary = (kinds.CALIBRATED, kinds.UNCALIBRATED)
    if found.config not in [kind.value for kind in ordinary] or not len(found.inlier_matches):
        return False
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    options.ransac.max_error *= scale
    cameras, points = [], []
    for number in pycolmap.pair_id_to_image_pair(pair_id):
        cameras.append(database.read_camera(database.read_image(number).camera_id))
        keypoints = np.asarray(database.read_keypoints(number))
        points.append(keypoints[:, :2].astype(np.float64))
    again = pycolmap.estimate_two_view_geometry(
        cameras[0], points[0], cameras[1], points[1], found.inlier_matches, options
    )
    return again.config in [kind.value for kind in ordinary]


@dataclass(frozen=True)
class Job:
    """Where a mapper reads and writes, and by how many threads.

    database: the file.
    folder: of the models.
    threads: -1 takes all processors.
    """

    database: str
    folder: str
    threads: int

    def run(self, mapper: MapperName, seed: int, count: int) -> list[pycolmap.Reconstruction]:
        """The models of one run that hold anything: most images first, then most points.

        count: images in the database.
        """
        import pycolmap

        if mapper == "incremental":
            options = incremental_options(seed, count, self.threads, pixel_scale(self.database))
            return self._call(pycolmap.incremental_mapping, options)
        globally = pycolmap.GlobalPipelineOptions(random_seed=seed, min_model_size=2)
        globally.num_threads = self.threads
        globally.ignore_watermarks = True
        return self._call(pycolmap.global_mapping, globally)

    def _call(
        self,
        mapping: Callable[[str, str, str, Options], dict[int, pycolmap.Reconstruction]],
        options: Options,
    ) -> list[pycolmap.Reconstruction]:
        import pycolmap

        # "failed to create any sparse model" is for the caller to say
        with quiet(pycolmap.logging.Level.FATAL):
            models = mapping(self.database, self.folder, self.folder, options)  # no photo is read
        held = [
            model
            for model in models.values()
            if model.num_reg_images() >= 2 and model.num_points3D() >= LEAST_POINTS
        ]
        return sorted(held, key=_size, reverse=True)


def incremental_options(
    seed: int, image_count: int, threads: int, scale: float
) -> pycolmap.IncrementalPipelineOptions:
    """What COLMAP's incremental mapper is told here, and nothing else differs from COLMAP.

    scale: of limits in pixels.
    """
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(random_seed=seed, num_threads=threads)
    options.ignore_watermarks = True
    options.extract_colors = False  # of runs that may not count
    options.mapper.filter_max_reproj_error = MAX_REPROJECTION_PX * scale
    if image_count == 2:
        # two views do not determine the cameras: refined, they drift off and take the pose along
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
    return options


def last_resort(job: Job, seed: int, image_count: int) -> list[pycolmap.Reconstruction]:
    """As `Job.run`, but keep small models, start from a narrow pair, and keep tracks of two views.

    COLMAP 4 drops those tracks, although they are all that two images have.
    """
    import pycolmap

    scale = pixel_scale(job.database)
    options = incremental_options(seed, image_count, job.threads, scale)
    options.min_model_size = 2
    options.triangulation.ignore_two_view_tracks = False
    options.mapper.init_min_tri_angle = 1.0
    return job._call(pycolmap.incremental_mapping, options)


def _size(model: pycolmap.Reconstruction) -> tuple[int, int, int]:
    """What the best of several models has most of."""
    return model.num_reg_images(), model.num_points3D(), model.compute_num_observations()
