"""Correspondence between two sets of descriptors."""

from __future__ import annotations

from dift_geo.matching.mutual_nn import match, match_mutual_nn
from dift_geo.matching.options import MatchOptions

__all__ = ["MatchOptions", "match", "match_mutual_nn"]
