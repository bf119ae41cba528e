"""The JSON files of a model folder: its configurations and the settings it is meant to run with.

Knows no network and no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from dift_geo.backends.config import (
    DiftConfig,
    ReadingName,
    settings_from_plain,
    settings_to_plain,
)
from dift_geo.errors import InputError
from dift_geo.jsonfiles import parse_json

__all__ = ["SETTINGS_FILE", "projection_file", "read_config", "read_settings", "write_settings"]

SETTINGS_FILE = "settings.json"


def read_config(file: Path) -> dict[str, object]:
    """A configuration of a model. Raises InputError where the file holds none."""
    try:
        plain = parse_json(file.read_bytes())
        if isinstance(plain, dict):
            return plain
        reason = f"it holds {type(plain).__name__}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise InputError(
        f"{file} is no configuration ({reason}); expected a folder written by "
        "pipelines/train_tiny.py export, copy it again"
    )


def read_settings(file: Path, reading: ReadingName | None = None) -> DiftConfig:
    """The settings of one reading out of a `settings.json`; of its default one for None.

    Raises InputError when the file is no such one or does not know the reading.
    """
    try:
        plain = parse_json(file.read_bytes())
        name = reading or plain["default"]
        known = [name for name in get_args(ReadingName) if name in plain]
        own = plain[name] if name in known else None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} holds no settings ({error}), expected a default reading and its fields; "
            "write it by pipelines/train_tiny.py export"
        ) from error
    if own is None:
        raise InputError(f"{file} has no reading {name!r}, expected one of {', '.join(known)}")
    try:
        return settings_from_plain(name, own)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def write_settings(file: Path, settings: Mapping[ReadingName, DiftConfig]) -> None:
    """Write settings by reading; the first is the default one."""
    plain = {name: settings_to_plain(config) for name, config in settings.items()}
    text = json.dumps({"default": next(iter(plain)), **plain}, indent=1)
    file.write_text(f"{text}\n", encoding="utf-8")


def projection_file(folder: Path, reading: ReadingName, beside: str | None) -> Path | None:
    """The projection of a reading in a model folder; None without one.

    beside: name of the describer whose rows go through it too.
    """
    file = folder / f"projection_{reading}{f'+{beside}' if beside else ''}.safetensors"
    return file if file.is_file() else None
