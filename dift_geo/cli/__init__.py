"""The command line."""

from __future__ import annotations

from dift_geo.cli.main import build_parser, main

__all__ = ["build_parser", "main"]
