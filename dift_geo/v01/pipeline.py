"""`dift_geo.pipeline` of 0.1, for scripts that import it."""

from dift_geo.engine.loops import extract_images, match_pairs

__all__ = ["extract_images", "match_pairs"]
