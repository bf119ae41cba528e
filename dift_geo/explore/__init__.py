"""A point of one photo looked for in others, on a page of this machine."""

from __future__ import annotations
