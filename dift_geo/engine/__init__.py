"""How the long loops run, and what runs them."""

from __future__ import annotations

from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.stop import Terminated

__all__ = ["Engine", "Local", "Terminated", "extract_images", "match_pairs"]
