"""An extractor that needs no network and counts what it is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from dift_geo.types import Features, Keypoints


@dataclass
class CountingExtractor:
    """Features that depend on nothing but the pixels; a black image has none."""

    points: int = 20
    asked: list[str] = field(default_factory=list)

    def extract(self, image: np.ndarray, name: str) -> Features:
        self.asked.append(name)
        h, w = image.shape[:2]
        n = self.points if image.any() else 0
        digest = hashlib.sha256(image.tobytes()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        # rows of all images are near a few common ones, so that there is something to match
        common = np.random.default_rng(0).standard_normal((self.points, 16))
        rows = common[random.permutation(self.points)][:n] + random.normal(0, 0.2, (n, 16))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return Features(
            Keypoints(random.uniform(0, (w - 1, h - 1), (n, 2)), np.ones(n), (w, h)), rows
        )

    def recipe(self) -> dict[str, object]:
        return {"extractor": {"points": self.points}}
