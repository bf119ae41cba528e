"""Oriented patches: where each of their pixels lies, and what turning or scaling the picture does
to them.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from dift_geo.detectors.sift import Sift
from dift_geo.dift.patches import cut_patches, local_affine_frames
from dift_geo.geometry.homography import warp_points
from dift_geo.types import Keypoints

SIDE, EXTENT = 32, 8.0


def one(xy, scale: float, angle: float, size_wh: tuple[int, int]) -> Keypoints:
    return Keypoints(np.array([xy]), np.ones(1), size_wh, np.array([scale]), np.array([angle]))


def pixel_places(keypoints: Keypoints, tilt: float = 1.0) -> np.ndarray:
    """(N, SIDE, SIDE, 2): where patch pixels lie, by the definition: x of the patch along the
    angle, y clockwise from it.
    """
    u = (2 * np.arange(SIDE) + 1) / SIDE - 1
    u, v = np.meshgrid(u * np.sqrt(tilt), u / np.sqrt(tilt))
    radius = (keypoints.scale * EXTENT)[:, None, None]
    cos, sin = np.cos(keypoints.angle)[:, None, None], np.sin(keypoints.angle)[:, None, None]
    offset = np.stack([cos * u - sin * v, sin * u + cos * v], -1) * radius[..., None]
    return keypoints.xy[:, None, None] + offset


@pytest.mark.parametrize("scale", [0.8, 2.0, 3.9, 4.1, 8.0])
@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0, np.pi / 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_patch_pixels_lie_where_the_frame_says(scale: float, angle: float, axis: int) -> None:
    """On a ramp a pixel's value is its place: exact at every pyramid level, to the half pixel and
    the sign.
    """
    ramp = np.indices((256, 256))[1 - axis].astype(np.uint8)
    keypoints = one((125.3, 130.6), scale, angle, (256, 256))
    patch = (
        cut_patches(np.repeat(ramp[..., None], 3, 2), keypoints, SIDE, EXTENT)[0, 0].numpy() * 255
    )
    np.testing.assert_allclose(patch, pixel_places(keypoints)[0, ..., axis], atol=0.02)


@pytest.mark.parametrize("tilt", [0.4, 5 / 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_tilted_patch_reaches_further_along_the_angle_than_across(tilt: float, axis: int) -> None:
    ramp = np.indices((256, 256))[1 - axis].astype(np.uint8)
    keypoints = one((125.3, 130.6), 2.5, 0.7, (256, 256))
    patch = (
        cut_patches(np.repeat(ramp[..., None], 3, 2), keypoints, SIDE, EXTENT, tilt)[0, 0].numpy()
        * 255
    )
    np.testing.assert_allclose(patch, pixel_places(keypoints, tilt)[0, ..., axis], atol=0.05)


def test_patch_is_the_picture_itself_at_unit_zoom(picture: np.ndarray) -> None:
    """Half a side of 16 px at scale 2 and extent 8: patch pixel = picture pixel."""
    keypoints = one((99.5, 79.5), 2.0, 0.0, (320, 240))
    patch = cut_patches(picture, keypoints, SIDE, EXTENT)[0, 0].numpy()
    luma = picture @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(patch, luma[64:96, 84:116], atol=1e-5)


@pytest.mark.parametrize("degrees", [-120, -30, 15, 90, 200])
@pytest.mark.parametrize("zoom", [1.0, 0.6])
def test_patch_follows_rotation_and_scale(texture, degrees: float, zoom: float) -> None:
    smooth = cv2.GaussianBlur(texture((400, 400), 3), (0, 0), 3)
    # OpenCV's positive angles are counter-clockwise
    turn = cv2.getRotationMatrix2D((199.5, 199.5), -degrees, zoom)
    H = np.vstack([turn, [0, 0, 1]])
    warped = cv2.warpAffine(smooth, turn, (400, 400), flags=cv2.INTER_CUBIC)
    upright = one((210, 190), 4.0, 0.3, (400, 400))
    turned = one(warp_points(H, upright.xy)[0], 4.0 * zoom, 0.3 + np.deg2rad(degrees), (400, 400))
    patch0, patch1 = (
        cut_patches(i, k, SIDE, EXTENT)[0, 0].numpy()
        for i, k in ((smooth, upright), (warped, turned))
    )
    assert np.corrcoef(patch0.ravel(), patch1.ravel())[0, 1] > 0.995
    wrong = one(turned.xy[0], 4.0 * zoom, 0.3 - np.deg2rad(degrees), (400, 400))
    patch_wrong = cut_patches(warped, wrong, SIDE, EXTENT)[0, 0].numpy()
    assert np.corrcoef(patch0.ravel(), patch_wrong.ravel())[0, 1] < 0.9  # this test can fail


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_detected_angles_make_patches_upright(picture: np.ndarray, turns: int) -> None:
    """Detector and cutter share one sign: patches at keypoints detected again in the turned picture
    look the same.
    """
    square = np.ascontiguousarray(picture[:, :240])
    sift = Sift(max_keypoints=100, max_orientations=1)
    turned = np.ascontiguousarray(np.rot90(square, turns))
    k0, k1 = sift.detect(square), sift.detect(turned)
    patches0, patches1 = (
        cut_patches(i, k, SIDE, EXTENT).flatten(1).numpy() - 0.5
        for i, k in ((square, k0), (turned, k1))
    )
    xy = k0.xy.copy()
    for _ in range(turns):
        xy = np.stack([xy[:, 1], 239 - xy[:, 0]], 1)
    distance = np.linalg.norm(xy[:, None] - k1.xy, axis=2) + 5 * np.abs(
        np.log(k0.scale[:, None] / k1.scale)
    )
    same = distance.min(1) < 0.5
    assert same.mean() > 0.7
    correlation = [
        np.corrcoef(patches0[i], patches1[distance[i].argmin()])[0, 1] for i in np.flatnonzero(same)
    ]
    assert np.median(correlation) > 0.97


@pytest.mark.parametrize("n", [0, 1, 5])
def test_shapes(picture: np.ndarray, n: int) -> None:
    keypoints = Sift(max_keypoints=10).detect(picture)[:n]
    assert cut_patches(picture, keypoints, 48, 6.0).shape == (n, 1, 48, 48)
    assert local_affine_frames(keypoints, 6.0).shape == (1, n, 2, 3)


def test_patches_at_the_border_and_larger_than_the_image() -> None:
    flat = np.full((40, 60, 3), 77, np.uint8)
    for xy, scale in (((0, 0), 2.0), ((59, 39), 2.0), ((30, 20), 50.0)):
        patch = cut_patches(flat, one(xy, scale, 1.0, (60, 40)), SIDE, EXTENT)
        np.testing.assert_allclose(patch.numpy(), 77 / 255, atol=1e-5)


def test_errors_say_what_to_do(picture: np.ndarray) -> None:
    bare = Keypoints(np.zeros((1, 2)), np.zeros(1), (320, 240))
    with pytest.raises(
        ValueError,
        match="need keypoints with scale and angle; use the dense or the upright reading",
    ):
        cut_patches(picture, bare, SIDE, EXTENT)
    with pytest.raises(
        ValueError, match=r"keypoints belong to an image of \(64, 64\), got one of \(320, 240\)"
    ):
        cut_patches(picture, one((1, 1), 1, 0, (64, 64)), SIDE, EXTENT)


@pytest.mark.parametrize("size", [(320, 240), (101, 67), (40, 20)])
@pytest.mark.parametrize("tilt", [1.0, 5 / 3])
def test_patches_equal_kornias(texture, size: tuple[int, int], tilt: float) -> None:
    from kornia.feature import extract_patches_from_pyramid

    image, random, n = texture(size, 1), np.random.default_rng(0), 40
    xy, scale, angle = (
        random.uniform(0, size, (n, 2)),
        random.uniform(0.5, 12, n),
        random.uniform(-4, 4, n),
    )
    keypoints = Keypoints(
        xy.astype(np.float32), np.ones(n), size, scale.astype(np.float32), angle.astype(np.float32)
    )
    luma = torch.from_numpy(image @ (np.array([0.299, 0.587, 0.114], np.float32) / 255))[None, None]
    expected = extract_patches_from_pyramid(luma, local_affine_frames(keypoints, 12.0, tilt), SIDE)[
        0
    ]
    torch.testing.assert_close(
        cut_patches(image, keypoints, SIDE, 12.0, tilt), expected, atol=1e-4, rtol=0
    )
