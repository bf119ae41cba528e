"""Patches normalised for scale and rotation: what the oriented reading shows to the network.

One frame per keypoint, cut from a pyramid of the image. Knows nothing of the network behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.dift.featuremap import FeatureMap, grid_frames
from dift_geo.errors import InputError
from dift_geo.images import luma_of
from dift_geo.types import Keypoints

__all__ = ["cut_patches", "cut_views", "local_affine_frames"]

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


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
            cut = picture.sample_grid(_places(frames[here], side_px))
            patches[here] = cut.view(len(here), 1, side_px, side_px)
    return patches


def _places(frames: Tensor, side_px: int) -> Tensor:
    """(N * side_px, side_px, 2): where every pixel of every patch lies, patch below patch.

    As `affine_grid` with aligned borders, which writes the pixels of a patch out once for every
    frame and takes ten times as long.
    """
    middles = (2 * torch.arange(side_px) + 1) / side_px - 1
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    return (frames.transpose(0, 1) @ pixels).view(2, -1, side_px).permute(1, 2, 0)


def _pyramid(image: NDArray[np.uint8], side_px: int) -> list[Tensor]:
    """Luma in [0, 1] of (H, W, 3) uint8 RGB, (1, h, w), halved again and again while a patch still
    fits into it.
    """
    levels = [luma_of(image)]
    while min(levels[-1].shape) // 2 >= side_px:
        levels.append(_halved(levels[-1]))
    return [torch.from_numpy(level)[None] for level in levels]


def _halved(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) -> (h // 2, w // 2), as kornia's `pyrdown` and thirty times as fast: five binomial
    taps each way, then bilinear reading at half the size.
    """
    h, w = level.shape
    smooth = cv2.sepFilter2D(level, cv2.CV_32F, BINOMIAL, BINOMIAL)  # mirrored beyond the border
    halved = cv2.resize(smooth, (w // 2, h // 2), interpolation=cv2.INTER_LINEAR)
    return np.asarray(halved, np.float32)
