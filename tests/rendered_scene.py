"""A room corner of two textured walls, photographed from known places: photos with exact poses and intrinsics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["View", "render_views", "texture", "write_views"]

SIZE_WH = (480, 360)
FOCAL_PX = 420.0
WALL_PX, PX_PER_UNIT = 800, 200.0


@dataclass(frozen=True)
class View:
    """image: (H, W, 3) uint8 RGB. K: (3, 3) with (0, 0) at the centre of the top-left pixel. cam_from_world: (3, 4)."""

    image: NDArray[np.uint8]
    K: NDArray[np.float64]
    cam_from_world: NDArray[np.float64]


def texture(seed: int, size_wh: tuple[int, int] = (WALL_PX, WALL_PX)) -> NDArray[np.uint8]:
    """Blotches of every size: SIFT finds plenty of distinct points."""
    random = np.random.default_rng(seed)
    w, h = size_wh
    total = np.zeros((h, w, 3))
    for cell in (4, 8, 16, 32, 64):
        grid = random.normal(size=(h // cell + 2, w // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.asarray((128 + 25 * total).clip(0, 255), np.uint8)


def render_views(count: int = 6, seed: int = 0) -> list[View]:
    """Photos from an arc in front of the corner, which runs along y through (0, 0, 1)."""
    K = np.array([[FOCAL_PX, 0, (SIZE_WH[0] - 1) / 2], [0, FOCAL_PX, (SIZE_WH[1] - 1) / 2], [0, 0, 1]])
    return [_render(K, _look_at(angle), seed) for angle in np.deg2rad(np.linspace(-24, 24, count))]


def write_views(folder: Path, views: list[View]) -> list[str]:
    """Write them as PNG; the names in order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:02d}.png" for i in range(len(views))]
    for name, view in zip(names, views):
        cv2.imwrite(str(folder / name), cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR))
    return names


def _look_at(angle: float) -> NDArray[np.float64]:
    """(3, 4) pose of a camera on the arc, looking at the corner, a bit lower the further it is to the right."""
    centre = np.array([4.0 * np.sin(angle), 0.8 * angle, -4.0 * np.cos(angle)])
    forward = -centre / np.linalg.norm(centre)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([R, (-R @ centre)[:, None]], 1)


def _render(K: NDArray[np.float64], cam_from_world: NDArray[np.float64], seed: int) -> View:
    image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 128, np.uint8)
    for wall, across in enumerate(([0.8, 0.0, -0.6], [-0.8, 0.0, -0.6])):  # both run from the corner towards the camera
        corner = np.array([0.0, -WALL_PX / PX_PER_UNIT / 2, 1.0])
        axes = np.stack([across, [0.0, 1.0, 0.0]], 1) / PX_PER_UNIT  # texture pixels -> world
        plane = np.concatenate([axes, corner[:, None]], 1)  # (u, v, 1) -> world
        H = K @ (cam_from_world[:, :3] @ plane + np.outer(cam_from_world[:, 3], [0, 0, 1]))
        big = texture(2 * seed + wall)
        warped = cv2.warpPerspective(big, H, SIZE_WH, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full(big.shape[:2], 255, np.uint8), H, SIZE_WH, flags=cv2.INTER_NEAREST)
        image[mask > 0] = warped[mask > 0]
    return View(image, K, cam_from_world)
