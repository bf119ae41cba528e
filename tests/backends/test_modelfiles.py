"""JSON files of a model folder: what is written comes back, what is damaged is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dift_geo.backends.config import Dense, DiftConfig, Noise, Oriented, ReadingName
from dift_geo.backends.modelfiles import (
    projection_file,
    read_config,
    read_settings,
    write_settings,
)
from dift_geo.errors import InputError


def test_settings_come_back(tmp_path: Path) -> None:
    own: dict[ReadingName, DiftConfig] = {
        "dense": DiftConfig(reading=Dense(network_wh=(64, 32)), layers=(0, 1), max_batch=7),
        "oriented": DiftConfig(reading=Oriented(extents=(1 / 3, 2.0)), noise=Noise(ensemble=3)),
    }
    file = tmp_path / "settings.json"
    write_settings(file, own)
    assert read_settings(file) == own["dense"]  # the first
    assert read_settings(file, "oriented") == own["oriented"]
    with pytest.raises(InputError, match="has no reading 'upright', expected one of dense, or"):
        read_settings(file, "upright")


def test_a_configuration_is_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with pytest.raises(InputError, match="is no configuration"):
        read_config(file)
    file.write_text('{"a": [1]}')
    assert read_config(file) == {"a": [1]}
    file.write_text("[1]")
    with pytest.raises(InputError, match="it holds list"):
        read_config(file)


def test_a_projection_is_found_by_reading_and_neighbour(tmp_path: Path) -> None:
    assert projection_file(tmp_path, "oriented", None) is None
    for name in ("projection_oriented", "projection_oriented+rootsift"):
        (tmp_path / f"{name}.safetensors").touch()
    assert projection_file(tmp_path, "oriented", None) == tmp_path / (
        "projection_oriented.safetensors"
    )
    assert projection_file(tmp_path, "oriented", "rootsift") == tmp_path / (
        "projection_oriented+rootsift.safetensors"
    )
    assert projection_file(tmp_path, "dense", None) is None
