"""JSON as it is found in files: what it says, or one kind of error. Knows not what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dift_geo.errors import InputError

__all__ = ["parse_json", "read_json"]


def parse_json(text: str | bytes) -> Any:
    """What JSON says. Raises ValueError alone, also for text that is nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: str | Path, remedy: str) -> dict[str, Any]:
    """A file of values by name. Raises InputError with the remedy where it is something else."""
    try:
        found = parse_json(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); {remedy}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {type(found).__name__}, expected values by name; {remedy}")
    return found
