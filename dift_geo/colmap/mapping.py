"""COLMAP database -> models. Knows pycolmap; no stores, no networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.database import quiet
from dift_geo.errors import InputError, NoModelError

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "MAX_REPROJECTION_PX",
    "MapperName",
    "NoModelError",
    "Reconstruction",
    "cam_from_world",
    "map_database",
    "model_summary",
    "write_models",
]

MapperName = Literal["incremental", "global"]
Options = TypeVar("Options")
NOTHING = (0, 0, 0)  # the size of no model
MAPPER_SEEDS = 8  # of the incremental mapper, at most
# up to so many images a run takes seconds, and it is worth asking for the best model twice
SMALL = 30
# observations beyond leave the model; COLMAP's own 4 lets in neighbours of the true keypoint
MAX_REPROJECTION_PX = 2.0


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
    """
    for index, model in enumerate(models):
        places = [Path(folder) / str(index)] + ([Path(folder)] if index == 0 else [])
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            model.write(str(place))


def map_database(
    path: str | Path,
    images: str | Path,
    folder: str | Path,
    *,
    mapper: MapperName = "incremental",
    seed: int = 0,
    threads: int = 1,
) -> list[pycolmap.Reconstruction]:
    """Run COLMAP's mapper; models, most registered images first, then most points.

    All of them are of one run: the one that found the best. Empty when there is none.

    path: the database, with verified pairs.
    images: folder of the photos, for the colours of the points.
    folder: the mapper writes its models there.
    mapper: the incremental one is tried with several seeds, see `_map_incrementally`; the global
        one (GLOMAP) once.
    seed: the first one.
    threads: 0 takes all processors. With one, the same database gives the same model to the last
        digit; with more, COLMAP adds numbers up in an order that differs from run to run.
    """
    import pycolmap

    if mapper not in get_args(MapperName):
        raise InputError(f"mapper is {mapper!r}, expected one of {', '.join(get_args(MapperName))}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    job = _Job(str(path), str(images), str(folder), threads or -1)
    if mapper == "incremental":
        return _map_incrementally(job, seed)
    options = pycolmap.GlobalPipelineOptions(random_seed=seed, min_model_size=2)
    options.num_threads = job.threads
    return _ranked(job.run(pycolmap.global_mapping, options))


def _map_incrementally(job: _Job, seed: int) -> list[pycolmap.Reconstruction]:
    """Models of as many seeds as it takes.

    The incremental mapper depends on the pair it starts from, and with it on its seed: on ten
    internet photos one seed gives 2 images, the next all 10. So small sets are mapped from one seed
    after the other until the best model has come twice, any set is tried again where a model holds
    fewer than half of the images, and the best model counts. Where all that leaves nothing, it
    tries once more with what COLMAP leaves out by itself.
    """
    import pycolmap

    count = job.count_images()
    wanted = 2 if count <= SMALL else 1  # times that the best model should come
    runs: list[list[pycolmap.Reconstruction]] = []
    for attempt in range(MAPPER_SEEDS):
        options = _incremental_options(seed + attempt, count, job.threads)
        runs.append(_ranked(job.run(pycolmap.incremental_mapping, options)))
        best = _best(runs)
        if best and best[0].num_reg_images() >= count / 2:
            sizes = [_size(model) for models in runs for model in models]
            if sizes.count(_size(best[0])) >= wanted:
                break
    if best := _best(runs):
        return best
    options = _last_resort(seed, count, job.threads)
    return _ranked(job.run(pycolmap.incremental_mapping, options))


def _incremental_options(
    seed: int, image_count: int, threads: int
) -> pycolmap.IncrementalPipelineOptions:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(random_seed=seed, num_threads=threads)
    options.mapper.filter_max_reproj_error = MAX_REPROJECTION_PX
    if image_count == 2:
        # two views do not determine the cameras: refined, they drift off and take the pose along
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
    return options


def _last_resort(seed: int, image_count: int, threads: int) -> pycolmap.IncrementalPipelineOptions:
    """Keep small models, start from a narrow pair, and keep tracks of two views.

    COLMAP 4 drops those tracks, although they are all that two images have.
    """
    options = _incremental_options(seed, image_count, threads)
    options.min_model_size = 2
    options.triangulation.ignore_two_view_tracks = False
    options.mapper.init_min_tri_angle = 1.0
    return options


@dataclass(frozen=True)
class _Job:
    """Where a mapper reads and writes, and by how many threads.

    database: the file.
    images: folder of the photos.
    folder: of the models.
    threads: -1 takes all processors.
    """

    database: str
    images: str
    folder: str
    threads: int

    def count_images(self) -> int:
        import pycolmap

        with pycolmap.Database.open(self.database) as database:
            return database.num_images()

    def run(
        self,
        mapping: Callable[[str, str, str, Options], dict[int, pycolmap.Reconstruction]],
        options: Options,
    ) -> list[pycolmap.Reconstruction]:
        """The models of one run that hold anything."""
        import pycolmap

        # "failed to create any sparse model" is for the caller to say
        with quiet(pycolmap.logging.Level.FATAL):
            models = mapping(self.database, self.images, self.folder, options)
        return [m for m in models.values() if m.num_reg_images() >= 2 and m.num_points3D() > 0]


def _ranked(models: Iterable[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    return sorted(models, key=_size, reverse=True)


def _best(runs: Sequence[list[pycolmap.Reconstruction]]) -> list[pycolmap.Reconstruction]:
    """The models of the run whose first one is the best; the earliest of several."""
    return max(runs, key=lambda models: _size(models[0]) if models else NOTHING, default=[])


def _size(model: pycolmap.Reconstruction) -> tuple[int, int, int]:
    """What the best of several models has most of, and by which one knows it again."""
    return model.num_reg_images(), model.num_points3D(), model.compute_num_observations()
