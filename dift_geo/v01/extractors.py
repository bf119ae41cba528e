"""`dift_geo.extractors` of 0.1, for scripts that import it."""

from dift_geo.dift.joined import join
from dift_geo.extractor import DESCRIPTORS, DETECTORS, Extractor, build_extractor

__all__ = ["DESCRIPTORS", "DETECTORS", "Extractor", "build_extractor", "join"]
