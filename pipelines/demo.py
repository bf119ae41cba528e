#!/usr/bin/env python3
"""The main job on pictures whose truth is known, with nothing to download; or on your own photos.

    python pipelines/demo.py demo_out                    what `make demo` runs
    python pipelines/demo.py demo_out --images photos/   what `make demo IMAGES=photos/` runs

A stereo pair of photographs with measured disparities, then a rendered scene of known cameras:
match, estimate, COLMAP model, and how far each is from the truth. The photographs are those of
scikit-image's wheel.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rendered_scene import wheel_folder, write_scene

from dift_geo import FeatureStore, MatchStore, estimate_homography, list_images, read_image
from dift_geo.extractor import Extractor, build_extractor
from dift_geo.images import write_image
from dift_geo.report.drawing import draw_matches
from dift_geo.sfm import reconstruct

LEFT, RIGHT = "motorcycle_left.png", "motorcycle_right.png"
# pixels: skimage.data.stereo_motorcycle
FOCAL, CENTRE_X, CENTRE_Y, CENTRE_DX = 994.978, 311.193, 254.877, 31.086
Pose = NDArray[np.float64]  # (3, 4)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--images", type=Path, help="folder of your photos instead of the two scenes"
    )
    parser.add_argument("--max-keypoints", type=int, default=2048)
    parser.add_argument("--views", type=int, default=8, help="of the rendered scene")
    parser.add_argument("--width", type=int, default=640, help="of the rendered views, in pixels")
    options = parser.parse_args(argv)

    start = time.monotonic()
    extractor = build_extractor(max_keypoints=options.max_keypoints)
    try:
        if options.images is not None:
            found = {"photos": own_photos(options.images, options.out / "photos", extractor)}
        else:
            found = {"motorcycle": motorcycle(options.out / "motorcycle", extractor)}
            found["scene"] = scene(
                options.out / f"scene_{options.views}x{options.width}",
                extractor,
                options.views,
                options.width,
            )
    except (OSError, ValueError, RuntimeError) as error:
        print(f"demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform == "linux" else 1024**2
    )
    found["demo"] = {
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_mb": round(peak_mb),
    }
    (options.out / "demo.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"\nall of it: {found['demo']['seconds']} s, {peak_mb / 1024:.1f} GB at most; the numbers -> {options.out}/demo.json"
    )
    return 0


def motorcycle(out: Path, extractor: Extractor) -> dict[str, Any]:
    """The stereo pair of Middlebury 2014 that scikit-image carries: left pixel (x, y) is right
    pixel (x - disparity, y).
    """
    print(
        "\nA stereo pair of photographs (Middlebury 2014, in scikit-image's wheel), disparities measured"
    )
    images = _copied(out / "images", [wheel_folder() / LEFT, wheel_folder() / RIGHT])
    with np.load(wheel_folder() / "motorcycle_disp.npz") as file:
        disparity = file["arr_0"]
    intrinsics = {LEFT: ("PINHOLE", [FOCAL, FOCAL, CENTRE_X, CENTRE_Y])}
    intrinsics[RIGHT] = "PINHOLE", [FOCAL, FOCAL, CENTRE_X + CENTRE_DX, CENTRE_Y]
    result = reconstruct(images, out, extractor, camera_mode="per-image", intrinsics=intrinsics)

    xy0, xy1 = _matched(out, LEFT, RIGHT)
    error = disparity_error_px(xy0, xy1, disparity)
    measured = np.isfinite(error)
    plane = estimate_homography(xy0, xy1)
    picture = _draw(out, images, LEFT, RIGHT, xy0[measured], xy1[measured], error[measured] < 3)
    right_from_left = np.eye(3, 4)
    right_from_left[0, 3] = -1  # the scale of the world is free
    poses = {LEFT: np.eye(3, 4), RIGHT: right_from_left}
    pose_error = relative_pose_errors_deg(cam_from_world(result.model), poses)[0]
    found = {
        "matches": len(xy0),
        "matches_with_truth": int(measured.sum()),
        "median_disparity_error_px": round(float(np.median(error[measured])), 3),
        "share_within_1px": round(float((error[measured] < 1).mean()), 3),
        "share_within_3px": round(float((error[measured] < 3).mean()), 3),
        "largest_plane_inliers": 0 if plane is None else int(plane.inliers.sum()),
        "pose_error_deg": round(pose_error, 3),
    }
    print(
        f"  {found['matches']} matches, {found['largest_plane_inliers']} of them on one plane (homography by RANSAC)"
    )
    print(
        f"  median disparity error {found['median_disparity_error_px']:.2f} px, "
        f"{100 * found['share_within_1px']:.0f} % within 1 px, {100 * found['share_within_3px']:.0f} % within 3 px"
    )
    print(f"  two-view model: {_model(result)}, pose error {pose_error:.2f} degrees")
    print(f"  picture -> {picture} (green: within 3 px of the truth)\n  model   -> {result.folder}")
    return found | {"reconstruction": result.summary}


def scene(out: Path, extractor: Extractor, views: int, width: int) -> dict[str, Any]:
    """Rendered views of photographs on boxes and walls; the cameras are known, the reconstruction
    is not told.
    """
    print(f"\nA rendered scene: {views} views of photographs on boxes and walls, cameras known")
    images = out / "images"
    truth = write_scene(images, views=views, size_wh=(width, width * 3 // 4))
    result = reconstruct(
        images, out, extractor, camera_mode="single", camera_model="SIMPLE_PINHOLE"
    )
    estimated = cam_from_world(result.model)
    errors = relative_pose_errors_deg(estimated, truth.cam_from_world)
    focal = float(next(iter(result.model.cameras.values())).mean_focal_length())
    first, later = list(truth.cam_from_world)[:: max(1, views // 3)][:2]
    xy0, xy1 = _matched(out, first, later)
    poses = truth.cam_from_world
    near = epipolar_error_px(xy0, xy1, poses[first], poses[later], truth.K) < 2
    picture = _draw(out, images, first, later, xy0, xy1, near)
    found = {
        "registered": len(estimated),
        "images": views,
        "median_pose_error_deg": round(float(np.median(errors)), 3),
        "max_pose_error_deg": round(float(np.max(errors)), 3),
        "focal_px": round(focal, 1),
        "true_focal_px": round(float(truth.K[0, 0]), 1),
    }
    print(f"  {_model(result)}")
    print(
        f"  relative poses: median error {found['median_pose_error_deg']:.2f} degrees, "
        f"largest {found['max_pose_error_deg']:.2f}; focal length {focal:.1f} px, truth {found['true_focal_px']:.1f}"
    )
    print(
        f"  picture -> {picture} (green: within 2 px of the true epipolar line)\n  model   -> {result.folder}"
    )
    return found | {"reconstruction": result.summary}


def own_photos(images: Path, out: Path, extractor: Extractor) -> dict[str, Any]:
    """The same road on a folder of photos, of which nothing is known."""
    print(f"\nYour photos: {len(list_images(images))} in {images}")
    result = reconstruct(images, out, extractor)
    with MatchStore(out / "matches.h5") as matches:
        first, second = max(matches, key=lambda pair: len(matches[pair]))
    picture = _draw(out, images, first, second, *_matched(out, first, second))
    print(
        f"  {_model(result)}\n  picture -> {picture} (the pair with most matches)\n  model   -> {result.folder}"
    )
    if result.summary["skipped"]:
        print(f"  unreadable and skipped: {', '.join(result.summary['skipped'])}")
    return result.summary


# measures


def disparity_error_px(xy0: NDArray, xy1: NDArray, disparity: NDArray) -> NDArray[np.float64]:
    """Distance of (N, 2) right pixels from where the left ones' measured disparity puts them; NaN
    where none was measured.
    """
    x, y = np.round(xy0).astype(int).T
    expected = xy0 - np.stack([disparity[y, x], np.zeros(len(xy0))], 1)
    error = np.linalg.norm(xy1 - expected, axis=1)
    return np.where(np.isfinite(error), error, np.nan)


def epipolar_error_px(
    xy0: NDArray, xy1: NDArray, cam0_from_world: Pose, cam1_from_world: Pose, K: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of (N, 2) pixels of image 1 from the lines on which the pixels of image 0 must
    appear.
    """
    R, t = _b_from_a(cam0_from_world, cam1_from_world)
    F = np.linalg.inv(K).T @ np.cross(np.eye(3), t) @ R @ np.linalg.inv(K)
    lines = np.c_[xy0, np.ones(len(xy0))] @ F.T  # (N, 3)
    return np.abs((np.c_[xy1, np.ones(len(xy1))] * lines).sum(1)) / np.linalg.norm(
        lines[:, :2], axis=1
    )


def cam_from_world(model: Any) -> dict[str, Pose]:
    """Poses of the registered images of a pycolmap model, by name."""
    return {
        image.name: np.asarray(image.cam_from_world().matrix())
        for image in model.images.values()
        if image.has_pose
    }


def relative_pose_errors_deg(
    estimated: Mapping[str, Pose], true: Mapping[str, Pose]
) -> list[float]:
    """For each pair of true cameras the larger of the angles between rotations and between
    directions of translation.

    Needs no alignment, as relative poses have neither origin nor orientation. A pair that is not
    registered counts 180.
    """
    errors = []
    for a, b in combinations(sorted(true), 2):
        if a not in estimated or b not in estimated:
            errors.append(180.0)
            continue
        (R_estimated, t_estimated), (R_true, t_true) = (
            _b_from_a(estimated[a], estimated[b]),
            _b_from_a(true[a], true[b]),
        )
        cosines = (
            (np.trace(R_estimated @ R_true.T) - 1) / 2,
            t_estimated @ t_true / np.prod([np.linalg.norm(t) for t in (t_estimated, t_true)]),
        )
        errors.append(float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max()))
    return errors


def _b_from_a(a_from_world: Pose, b_from_world: Pose) -> tuple[NDArray, NDArray]:
    R = b_from_world[:, :3] @ a_from_world[:, :3].T
    return R, b_from_world[:, 3] - R @ a_from_world[:, 3]


# files


def _copied(folder: Path, files: list[Path]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return folder


def _matched(out: Path, name0: str, name1: str) -> tuple[NDArray, NDArray]:
    with FeatureStore(out / "features.h5") as features, MatchStore(out / "matches.h5") as matches:
        pairs = matches[name0, name1].pairs
        return features[name0].keypoints.xy[pairs[:, 0]], features[name1].keypoints.xy[pairs[:, 1]]


def _draw(
    out: Path,
    images: Path,
    name0: str,
    name1: str,
    xy0: NDArray,
    xy1: NDArray,
    good: NDArray[np.bool_] | None = None,
) -> Path:
    path = out / "matches.png"
    write_image(
        path, draw_matches(read_image(images / name0), read_image(images / name1), xy0, xy1, good)
    )
    return path


def _model(result: Any) -> str:
    s = result.summary
    registered = f"{s['registered']}/{s['images']} images registered"
    return f"{registered}, {s['points']} points, {s['reprojection_px']:.2f} px reprojection error"


if __name__ == "__main__":
    sys.exit(main())
