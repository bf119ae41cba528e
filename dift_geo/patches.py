"""Patches normalised for scale and rotation: what the oriented reading shows to the network.

One frame per keypoint, cut from a pyramid of the image. Knows nothing of the network behind.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.featuremap import FeatureMap
from dift_geo.types import Keypoints

__all__ = ["cut_patches", "local_affine_frames"]


def local_affine_frames(keypoints: Keypoints, extent: float, tilt: float = 1.0) -> Tensor:
    """(1, N, 2, 3) float32 kornia frames: half a patch side is `extent` times the keypoint's scale.

    The frame's first axis points along the keypoint's angle, so the patch looks upright. tilt: how many times longer the
    frame is along that axis than across it, its area kept: the patch then shows the surface as if seen that much askew.
    Raises ValueError where the keypoints have no scale or no angle.
    """
    if keypoints.scale is None or keypoints.angle is None:
        raise ValueError("oriented patches need keypoints with scale and angle; use the dense reading or a SIFT detector")
    radius = keypoints.scale * np.float32(extent)
    cos, sin = radius * np.cos(keypoints.angle), radius * np.sin(keypoints.angle)
    axes = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)  # (N, 2, 2), columns are the axes
    frames = axes * np.array([tilt**0.5, tilt**-0.5], np.float32)
    return torch.from_numpy(np.concatenate([frames, keypoints.xy[..., None]], -1)[None])


def cut_patches(image: NDArray[np.uint8], keypoints: Keypoints, side_px: int, extent: float, tilt: float = 1.0) -> Tensor:
    """Cut one patch per keypoint: (N, 1, side_px, side_px) float32 luma in [0, 1].

    image: (H, W, 3) uint8 RGB in the frame of `keypoints`. extent, tilt: of `local_affine_frames`.
    Reads each patch at the pyramid level that fits its scale; outside the image the border is repeated. Equal to kornia's
    `extract_patches_from_pyramid`, and faster: every level is a map over the same image.
    """
    from kornia.geometry.transform import pyrdown

    h, w = image.shape[:2]
    if keypoints.size_wh != (w, h):
        raise ValueError(f"keypoints belong to an image of {keypoints.size_wh}, got one of {(w, h)}")
    patches = torch.zeros(len(keypoints), 1, side_px, side_px)
    if not len(keypoints):
        return patches
    frames = local_affine_frames(keypoints, extent, tilt)[0]
    finest = 2 * torch.linalg.det(frames[:, :, :2]).abs().sqrt() / side_px  # image pixels per patch pixel
    frames[:, :, 2] += 0.5  # to -1 to 1 over the image, border to border: cheaper here than on every pixel
    frames *= 2 / torch.tensor([w, h])[:, None]
    frames[:, :, 2] -= 1
    levels = max(1, int(np.log2(min(h, w) / side_px)) + 1)
    level_of = finest.log2().clamp(0, levels - 1).long()
    weights = np.array([0.299, 0.587, 0.114], np.float32) / 255
    picture = torch.from_numpy(image @ weights)[None, None]  # (1, 1, H, W)
    for level in range(levels):
        if level:
            picture = pyrdown(picture)
        here = torch.nonzero(level_of == level)[:, 0]
        if len(here):
            shape = [len(here), 1, side_px, side_px]
            grid = F.affine_grid(frames[here], shape, align_corners=False)  # where every patch pixel lies
            patches[here] = FeatureMap(picture[0], (w, h)).sample_grid(grid.flatten(0, 1)).view(shape)
    return patches
