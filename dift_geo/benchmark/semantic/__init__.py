"""Semantic correspondence: keypoints of one object carried to another of its category."""

from __future__ import annotations

from dift_geo.benchmark.semantic.data import (
    KeypointPair,
    KeypointPairs,
    read_cub,
    read_pf_willow,
    read_spair,
)
from dift_geo.benchmark.semantic.methods import MapMethod, Seen
from dift_geo.benchmark.semantic.protocols import PROTOCOLS, Protocol
from dift_geo.benchmark.semantic.task import KeypointTransfer

__all__ = [
    "PROTOCOLS",
    "KeypointPair",
    "KeypointPairs",
    "KeypointTransfer",
    "MapMethod",
    "Protocol",
    "Seen",
    "read_cub",
    "read_pf_willow",
    "read_spair",
]
