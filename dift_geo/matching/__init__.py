"""Correspondence between two sets of descriptors."""

from __future__ import annotations

from dift_geo.matching.mutual_nn import match_mutual_nn

__all__ = ["match_mutual_nn"]
