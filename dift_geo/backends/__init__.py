"""Diffusion models: the contract, the settings, the door to the known ones, and each of them."""

from __future__ import annotations

from dift_geo.backends.config import Dense, DiftConfig, Noise, Oriented
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.loader import load_backend

__all__ = [
    "Backend",
    "Dense",
    "DiftConfig",
    "Noise",
    "Oriented",
    "Precision",
    "load_backend",
    "pick_device",
    "pick_dtype",
]
