"""Rendered sequences in HPatches layout, with exact homographies, and a method to score on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dift_geo.benchmark.homography.score import Frame
from dift_geo.extractor import build_extractor

SIZE_WH = (200, 150)


def homography(sequence: str, index: int) -> np.ndarray:
    """Truth of the rendered sequences: identity for light, a growing tilt for viewpoint."""
    if sequence.startswith("i_"):
        return np.eye(3)
    k = index - 1
    return np.array(
        [
            [1 - 0.02 * k, 0.03 * k, 2.0 * k],
            [-0.02 * k, 1 + 0.01 * k, -1.5 * k],
            [1e-4 * k, -5e-5 * k, 1],
        ]
    )


def render(
    root: Path, texture, sequences=("i_lamp", "v_wall"), images: int = 6, extension: str = "png"
) -> Path:
    """A folder in HPatches layout with exact homographies."""
    for seed, sequence in enumerate(sequences):
        first = texture(SIZE_WH, seed)
        (root / sequence).mkdir(parents=True)
        for k in range(1, images + 1):
            H = homography(sequence, k)
            view = (
                cv2.warpPerspective(first, H, SIZE_WH, borderMode=cv2.BORDER_REFLECT)
                if k > 1
                else first
            )
            if sequence.startswith("i_"):
                view = np.clip(view * (1 - 0.1 * (k - 1)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / sequence / f"{k}.{extension}"), view[..., ::-1])
            if k > 1:
                np.savetxt(root / sequence / f"H_1_{k}", H)
    return root


def rootsift(**options):
    return build_extractor(descriptor="rootsift", size=None, **{"max_keypoints": 150, **options})


def frame_with_errors(errors, size_wh=(100, 80)) -> Frame:
    """Matches whose one-way errors under the identity are exactly these."""
    xy0 = np.random.default_rng(1).uniform(10, 70, (len(errors), 2))
    return Frame(xy0, xy0 + np.array(errors)[:, None] * (0.6, 0.8), np.eye(3), size_wh)
