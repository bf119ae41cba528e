"""Photographs pasted onto boxes and walls, seen by cameras that are known: ground truth for the
whole road, rendered anew.

Rays meet textured rectangles in numpy, the nearest one wins; no graphics library. Knows nothing of
keypoints or COLMAP. Pixels are (x, y) with (0, 0) the centre of the top-left one; the world has z
up, a camera looks along its +z with y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.images import read_image, write_image

__all__ = ["Rectangle", "Scene", "look_at", "render", "write_scene", "wheel_folder"]

FLOOR_AND_WALLS = ("gravel.png", "brick.png", "grass.png")
POSTERS = ("astronaut.png", "coffee.png", "hubble_deep_field.jpg")
# four sides and a lid; no photograph is seen twice, as a repeated one has no single answer
BOXES = (
    ("logo.png", "moon.png", "camera.png", "motorcycle_left.png", "coins.png"),
    ("retina.jpg", "clock_motion.png", "cell.png", "rocket.jpg", "text.png"),
    ("moon.png", "logo.png", "ihc.png", "chelsea.png", "cell.png"),
)


@dataclass(frozen=True)
class Rectangle:
    """A photograph in space: its top-left corner, the vectors along its width and down its height,
    and its pixels.
    """

    corner: NDArray[np.float64]
    along: NDArray[np.float64]
    down: NDArray[np.float64]
    photo: NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """What was rendered: image names to cam_from_world (3, 4), and the (3, 3) intrinsics K that all
    views share.
    """

    cam_from_world: dict[str, NDArray[np.float64]]
    K: NDArray[np.float64]
    size_wh: tuple[int, int]


def wheel_folder() -> Path:
    """Where scikit-image's wheel carries its photographs; those used here are in the wheel and need
    no download.
    """
    import skimage

    return Path(skimage.__file__).parent / "data"


def look_at(eye: Sequence[float], target: Sequence[float]) -> NDArray[np.float64]:
    """cam_from_world (3, 4) of an upright camera at `eye` that looks at `target`."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([R, -R @ np.asarray(eye, float)[:, None]], 1)


def render(
    rectangles: Sequence[Rectangle],
    cam_from_world: NDArray[np.float64],
    K: NDArray[np.float64],
    size_wh: tuple[int, int],
) -> NDArray[np.uint8]:
    """One view, (H, W, 3) uint8 RGB, of four rays per pixel."""
    w, h = 2 * size_wh[0], 2 * size_wh[1]
    y, x = np.mgrid[:h, :w].astype(np.float32) / 2 - 0.25
    R, t = cam_from_world[:, :3], cam_from_world[:, 3]
    # (h, w, 3) in the world
    rays = np.stack([x, y, np.ones_like(x)], -1) @ (R.T @ np.linalg.inv(K)).T.astype(np.float32)
    eye = -R.T @ t
    canvas, nearest = np.full((h, w, 3), 90, np.uint8), np.full((h, w), np.inf, np.float32)
    for rectangle in rectangles:
        window = _window(rectangle, cam_from_world, K, (w, h))
        axes = np.stack(
            [rectangle.along, rectangle.down, np.cross(rectangle.along, rectangle.down)], 1
        )
        inverse = np.linalg.inv(axes).astype(np.float32)
        origin, toward = (
            inverse @ (eye - rectangle.corner).astype(np.float32),
            rays[window] @ inverse.T,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = -origin[2] / toward[..., 2]
            u, v = origin[0] + depth * toward[..., 0], origin[1] + depth * toward[..., 1]
            seen = (depth > 0) & (depth < nearest[window]) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
        if seen.any():
            nearest[window][seen] = depth[seen]
            canvas[window][seen] = _look_up(rectangle.photo, u, v, seen)[seen]
    return cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA)


def _window(
    rectangle: Rectangle,
    cam_from_world: NDArray[np.float64],
    K: NDArray[np.float64],
    size_wh: tuple[int, int],
) -> tuple[slice, slice]:
    """Rows and columns, of two rays per pixel, outside of which the rectangle cannot be seen."""
    corners = rectangle.corner + np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) @ np.stack(
        [rectangle.along, rectangle.down]
    )
    x, y, z = K @ (cam_from_world[:, :3] @ corners.T + cam_from_world[:, 3:])
    if z.min() < 0.05:  # it reaches behind the camera
        return slice(None), slice(None)
    columns, rows = (
        np.clip([2 * min(a / z) - 2, 2 * max(a / z) + 4], 0, n).astype(int)
        for a, n in zip((x, y), size_wh)
    )
    return slice(*rows), slice(*columns)


def _look_up(
    photo: NDArray[np.uint8], u: NDArray, v: NDArray, seen: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Read the photo at (u, v) in [0, 1], from the pyramid level whose pixels are about as large as
    the rays' steps.
    """
    h, w = photo.shape[:2]
    pixels_per_ray = np.sqrt(
        h * w * np.abs(np.ptp(u[seen]) * np.ptp(v[seen])) / np.count_nonzero(seen)
    )
    for _ in range(int(np.clip(np.log2(max(pixels_per_ray, 1)), 0, 5))):
        photo = cv2.pyrDown(photo)
    h, w = photo.shape[:2]
    x, y = (
        np.where(seen, u * w - 0.5, 0).astype(np.float32),
        np.where(seen, v * h - 0.5, 0).astype(np.float32),
    )
    return cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _box(
    centre_xy: tuple[float, float],
    size: tuple[float, float, float],
    turn: float,
    photos: Sequence[NDArray],
) -> list:
    """Four walls and a lid of a box that stands on the floor."""
    a, b, height = size
    axis0, axis1 = (
        np.array([np.cos(turn), np.sin(turn), 0]),
        np.array([-np.sin(turn), np.cos(turn), 0]),
    )
    up, middle = np.array([0, 0, height]), np.array([*centre_xy, 0])
    faces = []
    for i, (out, side, depth, width) in enumerate(
        ((axis0, axis1, a, b), (axis1, -axis0, b, a), (-axis0, -axis1, a, b), (-axis1, axis0, b, a))
    ):
        corner = middle + out * depth / 2 - side * width / 2 + up
        faces.append(Rectangle(corner, side * width, -up, photos[i]))
    lid = middle + axis1 * b / 2 - axis0 * a / 2 + up
    return [*faces, Rectangle(lid, axis0 * a, -axis1 * b, photos[4])]


def _photos(folder: Path, names: Sequence[str]) -> list[NDArray[np.uint8]]:
    return [read_image(folder / name) for name in names]


def _rectangles(folder: Path) -> list[Rectangle]:
    """A corner of a room with posters on its walls and three boxes on its floor."""
    gravel, brick, grass = _photos(folder, FLOOR_AND_WALLS)
    astronaut, coffee, hubble = _photos(folder, POSTERS)
    large, tall, small = (_photos(folder, names) for names in BOXES)
    vector = np.array
    room = [
        Rectangle(vector([-4, 3, 0]), vector([8, 0, 0]), vector([0, -7, 0]), gravel),  # the floor
        Rectangle(vector([-4, 3, 4]), vector([8, 0, 0]), vector([0, 0, -4]), brick),
        Rectangle(vector([-4, -3, 4]), vector([0, 6, 0]), vector([0, 0, -4]), grass),
        Rectangle(vector([-2.8, 2.95, 3.4]), vector([2.2, 0, 0]), vector([0, 0, -2.2]), astronaut),
        Rectangle(vector([0.2, 2.95, 3.2]), vector([3, 0, 0]), vector([0, 0, -2]), coffee),
        Rectangle(vector([-3.95, -1, 3.3]), vector([0, 3, 0]), vector([0, 0, -2.6]), hubble),
    ]
    return [
        *room,
        *_box((0.2, 0.6), (1.6, 1.1, 1.3), 0.35, large),
        *_box((-1.9, 0.9), (0.9, 0.9, 1.9), -0.3, tall),
        *_box((1.9, -0.3), (1.0, 0.8, 0.7), 0.8, small),
    ]


def write_scene(
    folder: str | Path,
    *,
    views: int = 8,
    size_wh: tuple[int, int] = (640, 480),
    photos: str | Path | None = None,
) -> Scene:
    """Render `views` pictures of the scene into `folder` as `view_0.png`..., on an arc, 11 degrees
    from one to the next.

    photos: folder of the photographs, by default those of scikit-image's wheel.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rectangles = _rectangles(wheel_folder() if photos is None else Path(photos))
    w, h = size_wh
    K = np.array([[0.95 * w, 0, (w - 1) / 2], [0, 0.95 * w, (h - 1) / 2], [0, 0, 1]])
    poses = {}
    for i, angle in enumerate(np.deg2rad(11.4 * (np.arange(views) - (views - 1) / 2) + 5)):
        eye = 7 * np.sin(angle), -7 * np.cos(angle) + 1, 2.2 + 0.8 * np.sin(2.3 * i)
        poses[f"view_{i}.png"] = look_at(eye, (-0.3, 0.9, 1.0 + 0.1 * (i % 3)))
    for name, cam_from_world in poses.items():
        write_image(folder / name, render(rectangles, cam_from_world, K, size_wh))
    return Scene(poses, K, size_wh)
