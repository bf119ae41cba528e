"""An edit of one photo carried to another by maps of features, as in the paper: pixels of the edit
are found in the other photo, and the edit is drawn through the homography that fits them.

Knows no files and no models.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.dift.featuremap import FeatureMap
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.geometry.homography import estimate_homography
from dift_geo.matching.transfer import best_pixels

__all__ = ["CarriedEdit", "carry_edit", "edit_layer", "laid_over"]

Layer = NDArray[np.uint8]
POINTS, MAX_ERROR_PX = 1000, 5.0  # of the released notebook
LEAST_CHANGE = 8  # levels of any colour by which an edited pixel differs
# of the pixels that were looked for; where nothing was found, one edit of 106 had more by chance
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class CarriedEdit:
    """Where an edit came to lie.

    layer: (H1, W1, 4) uint8 RGBA in the frame of the second photo.
    H_1_from_0: (3, 3) float64.
    xy0, xy1: (N, 2) pixels that were looked for and found.
    inliers: (N,) bool, those that the homography carries.
    """

    layer: Layer
    H_1_from_0: NDArray[np.float64]
    xy0: NDArray[np.float64]
    xy1: NDArray[np.float64]
    inliers: NDArray[np.bool_]

    @property
    def doubtful(self) -> bool:
        """Whether so few pixels agree on where it lies that chance could have done it."""
        return bool(self.inliers.mean() < LEAST_SHARE)


def edit_layer(edit: NDArray[np.uint8], image: NDArray[np.uint8]) -> Layer:
    """(H, W, 4) uint8 RGBA: what was drawn over a photo.

    edit: (H, W, 4), opaque where it is drawn, or (H, W, 3), the photo after the edit.
    Raises InputError for another size than the photo's, and where nothing is drawn.
    """
    if edit.shape[:2] != image.shape[:2]:
        sizes = [f"{each.shape[1]} x {each.shape[0]}" for each in (edit, image)]
        raise InputError(f"the edit is {sizes[0]}, expected {sizes[1]} as the photo that it is of")
    layer = edit
    if edit.shape[2] == 3:
        changed = np.abs(edit.astype(int) - image).max(2) >= LEAST_CHANGE
        layer = np.dstack([edit, 255 * changed.astype(np.uint8)])
    if not layer[:, :, 3].any():
        raise InputError("the edit draws nothing; expected opaque pixels, or a changed photo")
    return np.asarray(layer, np.uint8)


def carry_edit(layer: Layer, map0: FeatureMap, map1: FeatureMap, *, seed: int = 0) -> CarriedEdit:
    """Carry an edit from one photo to another.

    layer: (H0, W0, 4) RGBA in the frame of the first.
    map0, map1: features of both photos.
    seed: of the draw of pixels and of RANSAC.
    Raises NoAnswerError where no homography fits, and where the one that fits would tear the edit:
    a part of it then lies behind the photo.
    """
    drawn = np.argwhere(layer[:, :, 3] > 0)[:, ::-1].astype(np.float64)
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(drawn))[:POINTS]
    xy0 = drawn[chosen]
    with torch.inference_mode():
        rows = map0.sample(torch.from_numpy(xy0).float())
        xy1 = best_pixels(rows, map1.values, map1.size_wh).double().numpy()
    found = estimate_homography(xy0, xy1, estimator="ransac", max_error_px=MAX_ERROR_PX, seed=seed)
    if found is None:
        raise NoAnswerError(
            f"no homography fits the {len(xy0)} pixels of the edit that were looked for; choose "
            "another backend, or an edit of a flatter part"
        )
    in_front = np.column_stack([drawn, np.ones(len(drawn))]) @ found.H_1_from_0[2] > 0
    if in_front.any() and not in_front.all():
        raise NoAnswerError(
            f"the homography that fits {found.inliers.sum()} of {len(xy0)} pixels of the edit "
            "tears it apart, so they were not found; choose another backend, or an edit of a "
            "flatter part"
        )
    # colours of transparent pixels must not bleed into the edge: carried by how opaque they are
    opaque = layer[:, :, 3:].astype(np.float32) / 255
    weighed = np.dstack([layer[:, :, :3] * opaque, opaque])
    carried = cv2.warpPerspective(weighed, found.H_1_from_0, map1.size_wh)
    alpha = carried[:, :, 3:]
    colours = carried[:, :, :3] / np.maximum(alpha, 1 / 255)
    whole = np.dstack([colours.clip(0, 255), 255 * alpha.clip(0, 1)]).round().astype(np.uint8)
    return CarriedEdit(whole, found.H_1_from_0, xy0, xy1, found.inliers)


def laid_over(layer: Layer, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: a photo under an (H, W, 4) layer."""
    alpha = layer[:, :, 3:].astype(np.float32) / 255
    return np.asarray((layer[:, :, :3] * alpha + image * (1 - alpha)).round(), np.uint8)
