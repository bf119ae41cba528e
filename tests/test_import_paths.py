"""The import paths of version 0.1 lead to what they led to, wherever it lives now."""

from __future__ import annotations

from importlib import import_module

import pytest

import dift_geo

# modules of 0.1 and the names each declared public; what was only about files of weights and
# devices has moved (`backends.hub`, `backends.cache`, `backends.device`)
PATHS = {
    "backends": "Backend load_backend",
    "backends.adm": "CHECKPOINT URL Adm diffusers_config to_diffusers",
    "backends.stable_diffusion": "KNOWN StableDiffusion",
    "backends.tap": "run_until",
    "backends.tiny": "WEIGHTS Tiny",
    "backends.weights": "find_weights load_module read_tensors",
    "benchmark_data": "LARGE_SEQUENCES Benchmark Pair kind_of read_benchmark",
    "benchmark_download": "HPATCHES_SEQUENCES HPATCHES_URL download_hpatches missing_files",
    "benchmark_methods": (
        "AnyMethod ForeignMethod Method Prepared ShortSide StoredMethod method_from_words "
        "resize_to stored_methods"
    ),
    "benchmark_pictures": "best_and_worst save_figure save_pictures",
    "benchmark_report": "Report compare_runs group_sequences versions",
    "calibration": "Calibration calibrate correspondences mma synthetic_view",
    "cli": "build_parser main",
    "colmap_files": "export_database export_text import_database",
    "colmap_keypoints": "HALF_PIXEL ColmapKeypoints open_database",
    "diffusion": "Dift DiftConfig diffusion_features",
    "drawing": "draw_matches",
    "evaluation": "evaluate pair_frame score_pairs usable_pairs",
    "extractors": "DESCRIPTORS DETECTORS Extractor build_extractor join",
    "featuremap": "FeatureMap",
    "foreign": (
        "AtKeypoints ForeignFeatures read_keypoint_file read_npz_features squared_distance_rows"
    ),
    "geometry": (
        "Estimator Homography auc corner_error_px estimate_homography transfer_error_px warp_points"
    ),
    "hloc_plugin": "extractor_confs matcher_confs register repair_two_view_config",
    "images": "EXTENSIONS list_images read_image resize_longest write_image",
    "keypoints": "Describer Detector Sift",
    "localization": (
        "KnownCamera Localized Map build_verified_database leave_out_folds localize "
        "pose_error read_cameras triangulate_map"
    ),
    "matching": "match_mutual_nn",
    "pairs": "exhaustive_pairs read_pairs sequential_pairs write_pairs",
    "patches": "cut_patches cut_views local_affine_frames",
    "pipeline": "extract_images match_pairs",
    "projection": "PairStatistics Projection",
    "protocols": (
        "PROTOCOLS Frame PairScore Protocol Ransac in_frame protocol_named score short_side_wh"
    ),
    "reconstruction": (
        "MAX_REPROJECTION_PX CameraMode MapperName NoModelError Reconstruction "
        "build_database import_features import_matches map_database read_intrinsics "
        "reconstruct_from_stores verify_database"
    ),
    "scores": "Bootstrap ScoreTable",
    "sfm": "choose_pairs reconstruct reconstruct_from_files stored_pairs",
    "store": "FeatureStore MatchStore RecipeError StoreError pair_key",
    "superpoint": "SUPERPOINT SuperPoint",
    "types": "Features Keypoints Matches",
    "viz": "plot_bars plot_curves plot_keypoints plot_matches",
}
TOP = (
    "Backend Detector Dift DiftConfig FeatureMap FeatureStore Features ForeignMethod Homography "
    "Keypoints MatchStore Matches Method Projection Sift SuperPoint auc corner_error_px "
    "diffusion_features estimate_homography evaluate list_images load_backend match_mutual_nn "
    "plot_keypoints plot_matches protocol_named read_benchmark read_image transfer_error_px "
    "warp_points"
)


@pytest.mark.parametrize("module", PATHS)
def test_every_module_of_before_gives_its_names(module: str) -> None:
    found = import_module(f"dift_geo.{module}")
    assert [name for name in PATHS[module].split() if not hasattr(found, name)] == []


def test_names_of_the_package_itself() -> None:
    assert set(TOP.split()) <= set(dift_geo.__all__)
