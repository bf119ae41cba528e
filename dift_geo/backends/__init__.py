"""Diffusion models: the contract, the door to the known ones, and each of them."""

from __future__ import annotations

from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.loader import load_backend

__all__ = ["Backend", "Precision", "load_backend", "pick_device", "pick_dtype"]
