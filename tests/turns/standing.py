"""Pictures that stand as they are told."""

from __future__ import annotations

import cv2
import numpy as np


def turned(image: np.ndarray, degrees: float, factor: float) -> np.ndarray:
    """The picture as it looks when its content is turned from +x towards +y, and enlarged."""
    h, w = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -degrees, factor)
    return cv2.warpAffine(image, matrix, (w, h), borderMode=cv2.BORDER_REFLECT)
