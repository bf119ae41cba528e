"""How the long loops run."""

from __future__ import annotations

from dift_geo.engine.loops import extract_images, match_pairs

__all__ = ["extract_images", "match_pairs"]
