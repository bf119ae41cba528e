"""Correspondence from diffusion models, for structure from motion.

The names below are the public ones. Each is imported when first used, so that `import dift_geo`
loads no model code; type checkers read the imports themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dift_geo.backends.config import Dense as Dense
    from dift_geo.backends.config import DiftConfig as DiftConfig
    from dift_geo.backends.config import Noise as Noise
    from dift_geo.backends.config import Oriented as Oriented
    from dift_geo.backends.contract import Backend as Backend
    from dift_geo.backends.loader import load_backend as load_backend
    from dift_geo.benchmark.compare import compare_runs as compare_runs
    from dift_geo.benchmark.homography.data import read_benchmark as read_benchmark
    from dift_geo.benchmark.homography.protocols import protocol_named as protocol_named
    from dift_geo.benchmark.loop import evaluate_task as evaluate_task
    from dift_geo.benchmark.methods import ForeignMethod as ForeignMethod
    from dift_geo.benchmark.methods import Method as Method
    from dift_geo.benchmark.methods import stored_methods as stored_methods
    from dift_geo.benchmark.results import Evaluation as Evaluation
    from dift_geo.benchmark.run import evaluate as evaluate
    from dift_geo.benchmark.task import Row as Row
    from dift_geo.benchmark.task import Task as Task
    from dift_geo.colmap.cameras import read_cameras as read_cameras
    from dift_geo.colmap.cameras import read_intrinsics as read_intrinsics
    from dift_geo.colmap.exchange import export_database as export_database
    from dift_geo.colmap.exchange import export_text as export_text
    from dift_geo.colmap.exchange import import_database as import_database
    from dift_geo.colmap.localization import localize as localize
    from dift_geo.colmap.localization import triangulate_map as triangulate_map
    from dift_geo.colmap.mapping import Reconstruction as Reconstruction
    from dift_geo.colmap.mapping import cam_from_world as cam_from_world
    from dift_geo.detectors.colmap import ColmapKeypoints as ColmapKeypoints
    from dift_geo.detectors.contract import Describer as Describer
    from dift_geo.detectors.contract import Detector as Detector
    from dift_geo.detectors.listed import Listed as Listed
    from dift_geo.detectors.loader import load_detector as load_detector
    from dift_geo.detectors.sift import RootSift as RootSift
    from dift_geo.detectors.sift import Sift as Sift
    from dift_geo.detectors.superpoint import SuperPoint as SuperPoint
    from dift_geo.dift.calibration import Calibration as Calibration
    from dift_geo.dift.calibration import calibrate as calibrate
    from dift_geo.dift.describer import Dift as Dift
    from dift_geo.dift.featuremap import FeatureMap as FeatureMap
    from dift_geo.dift.joined import Joined as Joined
    from dift_geo.dift.noise import diffusion_features as diffusion_features
    from dift_geo.dift.projection import Projection as Projection
    from dift_geo.engine.contract import Engine as Engine
    from dift_geo.engine.local import Local as Local
    from dift_geo.engine.loops import extract_images as extract_images
    from dift_geo.engine.loops import match_pairs as match_pairs
    from dift_geo.errors import DiftGeoError as DiftGeoError
    from dift_geo.errors import InputError as InputError
    from dift_geo.errors import MissingFileError as MissingFileError
    from dift_geo.errors import MissingNameError as MissingNameError
    from dift_geo.errors import NoAnswerError as NoAnswerError
    from dift_geo.errors import NoModelError as NoModelError
    from dift_geo.errors import RecipeError as RecipeError
    from dift_geo.errors import StoreError as StoreError
    from dift_geo.extractor import Extractor as Extractor
    from dift_geo.extractor import ExtractorOptions as ExtractorOptions
    from dift_geo.extractor import build_extractor as build_extractor
    from dift_geo.geometry.curves import auc as auc
    from dift_geo.geometry.homography import Homography as Homography
    from dift_geo.geometry.homography import corner_error_px as corner_error_px
    from dift_geo.geometry.homography import estimate_homography as estimate_homography
    from dift_geo.geometry.homography import transfer_error_px as transfer_error_px
    from dift_geo.geometry.homography import warp_points as warp_points
    from dift_geo.geometry.pose import pose_error as pose_error
    from dift_geo.geometry.pose import relative_pose_error_deg as relative_pose_error_deg
    from dift_geo.geometry.pose import relative_pose_errors_deg as relative_pose_errors_deg
    from dift_geo.images import list_images as list_images
    from dift_geo.images import read_image as read_image
    from dift_geo.images import resize_longest as resize_longest
    from dift_geo.images import write_image as write_image
    from dift_geo.matching.mutual_nn import match as match
    from dift_geo.matching.mutual_nn import match_mutual_nn as match_mutual_nn
    from dift_geo.matching.options import MatchOptions as MatchOptions
    from dift_geo.pair import PairMatches as PairMatches
    from dift_geo.pair import match_features as match_features
    from dift_geo.pair import match_pair as match_pair
    from dift_geo.pairs.choose import choose_pairs as choose_pairs
    from dift_geo.pairs.lists import exhaustive_pairs as exhaustive_pairs
    from dift_geo.pairs.lists import read_pairs as read_pairs
    from dift_geo.pairs.lists import sequential_pairs as sequential_pairs
    from dift_geo.pairs.lists import write_pairs as write_pairs
    from dift_geo.report.drawing import draw_matches as draw_matches
    from dift_geo.report.plots import plot_bars as plot_bars
    from dift_geo.report.plots import plot_curves as plot_curves
    from dift_geo.report.plots import plot_keypoints as plot_keypoints
    from dift_geo.report.plots import plot_matches as plot_matches
    from dift_geo.sfm import SfmOptions as SfmOptions
    from dift_geo.sfm import reconstruct as reconstruct
    from dift_geo.sfm import reconstruct_from_files as reconstruct_from_files
    from dift_geo.sfm import reconstruct_from_stores as reconstruct_from_stores
    from dift_geo.store.features import FeatureStore as FeatureStore
    from dift_geo.store.matches import MatchStore as MatchStore
    from dift_geo.types import Features as Features
    from dift_geo.types import FeatureSource as FeatureSource
    from dift_geo.types import Keypoints as Keypoints
    from dift_geo.types import Matches as Matches
    from dift_geo.types import MatchSource as MatchSource

__version__ = "0.1.0"

# what type checkers read above, for everyone else; tests/test_public.py holds the two together
_HOME = {
    "Backend": "backends.contract",
    "Calibration": "dift.calibration",
    "ColmapKeypoints": "detectors.colmap",
    "Dense": "backends.config",
    "Describer": "detectors.contract",
    "Detector": "detectors.contract",
    "Dift": "dift.describer",
    "DiftConfig": "backends.config",
    "DiftGeoError": "errors",
    "Engine": "engine.contract",
    "Evaluation": "benchmark.results",
    "Extractor": "extractor",
    "ExtractorOptions": "extractor",
    "FeatureMap": "dift.featuremap",
    "FeatureSource": "types",
    "FeatureStore": "store.features",
    "Features": "types",
    "ForeignMethod": "benchmark.methods",
    "Homography": "geometry.homography",
    "InputError": "errors",
    "Joined": "dift.joined",
    "Keypoints": "types",
    "Listed": "detectors.listed",
    "Local": "engine.local",
    "MatchOptions": "matching.options",
    "MatchSource": "types",
    "MatchStore": "store.matches",
    "Matches": "types",
    "Method": "benchmark.methods",
    "MissingFileError": "errors",
    "MissingNameError": "errors",
    "NoAnswerError": "errors",
    "NoModelError": "errors",
    "Noise": "backends.config",
    "Oriented": "backends.config",
    "PairMatches": "pair",
    "Projection": "dift.projection",
    "RecipeError": "errors",
    "Reconstruction": "colmap.mapping",
    "RootSift": "detectors.sift",
    "Row": "benchmark.task",
    "SfmOptions": "sfm",
    "Sift": "detectors.sift",
    "StoreError": "errors",
    "SuperPoint": "detectors.superpoint",
    "Task": "benchmark.task",
    "auc": "geometry.curves",
    "build_extractor": "extractor",
    "calibrate": "dift.calibration",
    "cam_from_world": "colmap.mapping",
    "choose_pairs": "pairs.choose",
    "compare_runs": "benchmark.compare",
    "corner_error_px": "geometry.homography",
    "diffusion_features": "dift.noise",
    "draw_matches": "report.drawing",
    "estimate_homography": "geometry.homography",
    "evaluate": "benchmark.run",
    "evaluate_task": "benchmark.loop",
    "exhaustive_pairs": "pairs.lists",
    "export_database": "colmap.exchange",
    "export_text": "colmap.exchange",
    "extract_images": "engine.loops",
    "import_database": "colmap.exchange",
    "list_images": "images",
    "load_backend": "backends.loader",
    "load_detector": "detectors.loader",
    "localize": "colmap.localization",
    "match": "matching.mutual_nn",
    "match_features": "pair",
    "match_mutual_nn": "matching.mutual_nn",
    "match_pair": "pair",
    "match_pairs": "engine.loops",
    "plot_bars": "report.plots",
    "plot_curves": "report.plots",
    "plot_keypoints": "report.plots",
    "plot_matches": "report.plots",
    "pose_error": "geometry.pose",
    "protocol_named": "benchmark.homography.protocols",
    "read_benchmark": "benchmark.homography.data",
    "read_cameras": "colmap.cameras",
    "read_image": "images",
    "read_intrinsics": "colmap.cameras",
    "read_pairs": "pairs.lists",
    "reconstruct": "sfm",
    "reconstruct_from_files": "sfm",
    "reconstruct_from_stores": "sfm",
    "relative_pose_error_deg": "geometry.pose",
    "relative_pose_errors_deg": "geometry.pose",
    "resize_longest": "images",
    "sequential_pairs": "pairs.lists",
    "stored_methods": "benchmark.methods",
    "transfer_error_px": "geometry.homography",
    "triangulate_map": "colmap.localization",
    "warp_points": "geometry.homography",
    "write_image": "images",
    "write_pairs": "pairs.lists",
}

__all__ = sorted([*_HOME, "__version__"])

# what moved since 0.1 is still found under its old path
__path__ = [*__path__, f"{__path__[0]}/v01"]


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error

    def __getattr__(name: str) -> object:
        if name in _HOME:
            return getattr(import_module(f"dift_geo.{_HOME[name]}"), name)
        raise AttributeError(f"module 'dift_geo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
