"""COLMAP by pycolmap: databases, cameras, mapping, localisation, exchange of files."""

from __future__ import annotations
