"""`dift_geo.patches` of 0.1, for scripts that import it."""

from dift_geo.dift.patches import cut_patches, cut_views, local_affine_frames

__all__ = ["cut_patches", "cut_views", "local_affine_frames"]
