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
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rendered_scene import Scene, wheel_folder, write_scene

from dift_geo import FeatureStore, MatchStore, estimate_homography, list_images, read_image
from dift_geo.colmap.mapping import Reconstruction
from dift_geo.errors import DiftGeoError
from dift_geo.extractor import Extractor, build_extractor
from dift_geo.geometry.pose import epipolar_error_px, relative_pose, relative_pose_errors_deg
from dift_geo.images import write_image
from dift_geo.recipe import write_json
from dift_geo.report.drawing import draw_matches
from dift_geo.sfm import SfmOptions, reconstruct

LEFT, RIGHT = "motorcycle_left.png", "motorcycle_right.png"
# pixels: skimage.data.stereo_motorcycle
FOCAL, CENTRE_X, CENTRE_Y, CENTRE_DX = 994.978, 311.193, 254.877, 31.086
Found = dict[str, Any]  # numbers for demo.json


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    start = time.monotonic()
    extractor = build_extractor(max_keypoints=options.max_keypoints)
    try:
        if options.images is not None:
            found = {"photos": own_photos(options.images, options.out / "photos", extractor)}
        else:
            found = {"motorcycle": motorcycle(options.out / "motorcycle", extractor)}
            out = options.out / f"scene_{options.views}x{options.width}"
            found["scene"] = scene(out, extractor, options.views, options.width)
    except (DiftGeoError, OSError) as error:
        print(f"demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    seconds, peak_mb = round(time.monotonic() - start, 1), peak_memory_mb()
    found["demo"] = {"seconds": seconds, "peak_memory_mb": round(peak_mb)}
    write_json(options.out / "demo.json", found)
    print(f"\nall of it: {seconds} s, {peak_mb / 1024:.1f} GB at most; ", end="")
    print(f"the numbers -> {options.out}/demo.json")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
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
    return parser.parse_args(argv)


def peak_memory_mb() -> float:
    unit = 1024 if sys.platform == "linux" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


# a stereo pair


def motorcycle(out: Path, extractor: Extractor) -> Found:
    """The stereo pair of Middlebury 2014 that scikit-image carries.

    Left pixel (x, y) is right pixel (x - disparity, y).
    """
    print(
        "\nA stereo pair of photographs (Middlebury 2014, in scikit-image's wheel), "
        "disparities measured"
    )
    images = copy_files([wheel_folder() / LEFT, wheel_folder() / RIGHT], out / "images")
    with np.load(wheel_folder() / "motorcycle_disp.npz") as file:
        disparity = file["arr_0"]
    left = "PINHOLE", [FOCAL, FOCAL, CENTRE_X, CENTRE_Y]
    right = "PINHOLE", [FOCAL, FOCAL, CENTRE_X + CENTRE_DX, CENTRE_Y]
    options = SfmOptions(camera_mode="per-image", intrinsics={LEFT: left, RIGHT: right})
    result = reconstruct(images, out, extractor, options)

    right_from_left = np.eye(3, 4)
    right_from_left[0, 3] = -1  # the scale of the world is free
    poses = {LEFT: np.eye(3, 4), RIGHT: right_from_left}
    xy0, xy1 = matched_points(out, LEFT, RIGHT)
    error = disparity_error_px(xy0, xy1, disparity)
    measured = np.isfinite(error)
    plane = estimate_homography(xy0, xy1)
    found = {
        "matches": len(xy0),
        "matches_with_truth": int(measured.sum()),
        "median_disparity_error_px": round(float(np.median(error[measured])), 3),
        "share_within_1px": round(float((error[measured] < 1).mean()), 3),
        "share_within_3px": round(float((error[measured] < 3).mean()), 3),
        "largest_plane_inliers": 0 if plane is None else int(plane.inliers.sum()),
        "pose_error_deg": round(relative_pose_errors_deg(result.cam_from_world, poses)[0], 3),
    }
    tell_motorcycle(found, result)
    picture = draw(out, images, (LEFT, RIGHT), xy0[measured], xy1[measured], error[measured] < 3)
    print(f"  picture -> {picture} (green: within 3 px of the truth)\n  model   -> {result.folder}")
    return found | {"reconstruction": result.summary}


def tell_motorcycle(found: Found, result: Reconstruction) -> None:
    print(
        f"  {found['matches']} matches, {found['largest_plane_inliers']} of them on one plane "
        "(homography by RANSAC)"
    )
    print(
        f"  median disparity error {found['median_disparity_error_px']:.2f} px, "
        f"{100 * found['share_within_1px']:.0f} % within 1 px, "
        f"{100 * found['share_within_3px']:.0f} % within 3 px"
    )
    pose_error = f"pose error {found['pose_error_deg']:.2f} degrees"
    print(f"  two-view model: {tell_model(result)}, {pose_error}")


def disparity_error_px(xy0: NDArray, xy1: NDArray, disparity: NDArray) -> NDArray[np.float64]:
    """Distance of (N, 2) right pixels from where the left ones' measured disparity puts them.

    NaN where none was measured.
    """
    x, y = np.round(xy0).astype(int).T
    expected = xy0 - np.stack([disparity[y, x], np.zeros(len(xy0))], 1)
    error = np.linalg.norm(xy1 - expected, axis=1)
    return np.where(np.isfinite(error), error, np.nan)


# a rendered scene


def scene(out: Path, extractor: Extractor, views: int, width: int) -> Found:
    """Views of a scene whose cameras are known; the reconstruction is not told."""
    print(f"\nA rendered scene: {views} views of photographs on boxes and walls, cameras known")
    images = out / "images"
    truth = write_scene(images, views=views, size_wh=(width, width * 3 // 4))
    options = SfmOptions(camera_mode="single", camera_model="SIMPLE_PINHOLE")
    result = reconstruct(images, out, extractor, options)
    errors = relative_pose_errors_deg(result.cam_from_world, truth.cam_from_world)
    focal = float(next(iter(result.model.cameras.values())).mean_focal_length())
    found = {
        "registered": len(result.cam_from_world),
        "images": views,
        "median_pose_error_deg": round(float(np.median(errors)), 3),
        "max_pose_error_deg": round(float(np.max(errors)), 3),
        "focal_px": round(focal, 1),
        "true_focal_px": round(float(truth.K[0, 0]), 1),
    }
    print(f"  {tell_model(result)}")
    print(
        f"  relative poses: median error {found['median_pose_error_deg']:.2f} degrees, "
        f"largest {found['max_pose_error_deg']:.2f}; "
        f"focal length {focal:.1f} px, truth {found['true_focal_px']:.1f}"
    )
    picture = draw_near_lines(out, images, truth)
    print(f"  picture -> {picture} (green: within 2 px of the true epipolar line)")
    print(f"  model   -> {result.folder}")
    return found | {"reconstruction": result.summary}


def draw_near_lines(out: Path, images: Path, truth: Scene) -> Path:
    """The matches of two views a third of the arc apart, against their epipolar lines."""
    poses = truth.cam_from_world
    first, later = list(poses)[:: max(1, len(poses) // 3)][:2]
    xy0, xy1 = matched_points(out, first, later)
    later_from_first = relative_pose(poses[first], poses[later])
    near = epipolar_error_px(xy0, xy1, later_from_first, truth.K, truth.K) < 2
    return draw(out, images, (first, later), xy0, xy1, near)


# photos of yours


def own_photos(images: Path, out: Path, extractor: Extractor) -> Found:
    """The same on a folder of photos, of which nothing is known."""
    print(f"\nYour photos: {len(list_images(images))} in {images}")
    result = reconstruct(images, out, extractor)
    with MatchStore(out / "matches.h5") as matches:
        pair = max(matches, key=lambda pair: len(matches[pair]))
    picture = draw(out, images, pair, *matched_points(out, *pair))
    print(f"  {tell_model(result)}\n  picture -> {picture} (the pair with most matches)")
    print(f"  model   -> {result.folder}")
    if result.summary["skipped"]:
        print(f"  unreadable and skipped: {', '.join(result.summary['skipped'])}")
    return result.summary


# files


def copy_files(files: list[Path], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return folder


def matched_points(out: Path, name0: str, name1: str) -> tuple[NDArray, NDArray]:
    """(M, 2) pixels of both images, as the stores below `out` have them."""
    with FeatureStore(out / "features.h5") as features, MatchStore(out / "matches.h5") as matches:
        return matches[name0, name1].points(features[name0], features[name1])


def draw(
    out: Path,
    images: Path,
    pair: tuple[str, str],
    xy0: NDArray,
    xy1: NDArray,
    good: NDArray[np.bool_] | None = None,
) -> Path:
    path = out / "matches.png"
    image0, image1 = (read_image(images / name) for name in pair)
    write_image(path, draw_matches(image0, image1, xy0, xy1, good))
    return path


def tell_model(result: Reconstruction) -> str:
    s = result.summary
    registered = f"{s['registered']}/{s['images']} images registered"
    return f"{registered}, {s['points']} points, {s['reprojection_px']:.2f} px reprojection error"


if __name__ == "__main__":
    sys.exit(main())
