"""Patches normalised for scale and rotation: what the oriented reading shows to the network.

One frame per keypoint, cut from a pyramid of the image. Knows nothing of the network behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.dift.featuremap import FeatureMap, grid_frames
from dift_geo.errors import InputError
from dift_geo.types import Keypoints

__all__ = ["cut_patches", "cut_views", "local_affine_frames"]


def local_affine_frames(keypoints: Keypoints, extent: float, tilt: float = 1.0) -> Tensor:
    """(1, N, 2, 3) float32 frames as kornia has them: (x, y) of a patch, -1 to 1, to image pixels.

    The frame's first axis points along the keypoint's angle, so the patch looks upright.

    extent: half a patch side in units of the keypoint's scale.
    tilt: how many times longer the frame is along that axis than across it, its area kept; the
        patch then shows the surface as if seen that much askew.
    Raises InputError where the keypoints have no scale or no angle.
    """
    if keypoints.scale is None or keypoints.angle is None:
        raise InputError(
            "oriented patches need keypoints with scale and angle; "
            "use the dense or the upright reading, or a SIFT detector"
        )
    radius = keypoints.scale * np.float32(extent)
    cos, sin = radius * np.cos(keypoints.angle), radius * np.sin(keypoints.angle)
    # (N, 2, 2), columns are the axes
    axes = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    frames = axes * np.array([tilt**0.5, tilt**-0.5], np.float32)
    return torch.from_numpy(np.concatenate([frames, keypoints.xy[..., None]], -1)[None])


def cut_patches(
    image: NDArray[np.uint8], keypoints: Keypoints, side_px: int, extent: float, tilt: float = 1.0
) -> Tensor:
    """One patch a keypoint, (N, 1, side_px, side_px) float32 luma in [0, 1]; see `cut_views`."""
    return next(cut_views(image, keypoints, side_px, [(extent, tilt)]))


def cut_views(
    image: NDArray[np.uint8],
    keypoints: Keypoints,
    side_px: int,
    views: Iterable[tuple[float, float]],
) -> Iterator[Tensor]:
    """For each view one patch a keypoint: (N, 1, side_px, side_px) float32 luma in [0, 1].

    Each patch is read at the pyramid level that fits its scale; outside the image the border is
    repeated. Equal to kornia's `extract_patches_from_pyramid`, and faster: all views share one
    pyramid, and every level is a map over the same image.

    image: (H, W, 3) uint8 RGB.
    keypoints: in its frame.
    side_px: side of a patch.
    views: extent and tilt of `local_affine_frames`, for each view.
    """
    h, w = image.shape[:2]
    if keypoints.size_wh != (w, h):
        raise InputError(
            f"keypoints belong to an image of {keypoints.size_wh}, got one of {(w, h)}"
        )
    if not len(keypoints):
        for extent, tilt in views:
            local_affine_frames(keypoints, extent, tilt)  # refuses keypoints without scale
            yield torch.zeros(0, 1, side_px, side_px)
        return
    levels = [FeatureMap(level, (w, h)) for level in _pyramid(image, side_px)]
    for extent, tilt in views:
        yield _cut(levels, local_affine_frames(keypoints, extent, tilt)[0], side_px)


def _cut(levels: list[FeatureMap], frames: Tensor, side_px: int) -> Tensor:
    """(N, 1, side_px, side_px): each frame's patch from the level whose pixels fit the patch's."""
    patches = torch.zeros(len(frames), 1, side_px, side_px)
    # image pixels per patch pixel
    finest = 2 * torch.linalg.det(frames[:, :, :2]).abs().sqrt() / side_px
    level_of = finest.log2().clamp(0, len(levels) - 1).long()
    frames = grid_frames(frames, levels[0].size_wh)  # cheaper here than on every pixel
    for level, picture in enumerate(levels):
        here = torch.nonzero(level_of == level)[:, 0]
        if len(here):
            shape = [len(here), 1, side_px, side_px]
            # where every patch pixel lies
            grid = F.affine_grid(frames[here], shape, align_corners=False)
            patches[here] = picture.sample_grid(grid.flatten(0, 1)).view(shape)
    return patches


def _pyramid(image: NDArray[np.uint8], side_px: int) -> list[Tensor]:
    """Luma in [0, 1] of (H, W, 3) uint8 RGB, (1, h, w), halved again and again while a patch still
    fits into it.
    """
    from kornia.geometry.transform import pyrdown

    weights = np.array([0.299, 0.587, 0.114], np.float32) / 255
    levels = [torch.from_numpy(image @ weights)[None, None]]
    while min(levels[-1].shape[-2:]) // 2 >= side_px:
        levels.append(pyrdown(levels[-1]))
    return [level[0] for level in levels]
