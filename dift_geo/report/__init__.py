"""What a run leaves behind for people: tables and pictures, from results alone."""

from __future__ import annotations
