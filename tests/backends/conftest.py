"""Small Stable Diffusions in the real formats, shared by the tests of backends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sd_reference import Reference
from small_models import stable_diffusion

from dift_geo.backends.stable_diffusion import StableDiffusion

SHAPES = ("sd1", "sd2", "xl")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sd")
    return {shape: stable_diffusion(root / shape, shape) for shape in SHAPES}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a test reaches the user's cache, and nothing of that reaches a test."""
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path_factory.getbasetemp() / "dift_geo_cache"))


@pytest.fixture(scope="session")
def copy(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A copy of a small model, to be damaged."""
    return lambda shape="sd2": Path(
        shutil.copytree(folders[shape], tmp_path_factory.mktemp("copy") / shape)
    )


@pytest.fixture(scope="session")
def backends(folders: dict[str, Path]) -> dict[str, StableDiffusion]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFT_GEO_CACHE", str(next(iter(folders.values())).parent / "cache"))
        return {shape: StableDiffusion(folder) for shape, folder in folders.items()}


@pytest.fixture(scope="session")
def references(folders: dict[str, Path]) -> dict[str, Reference]:
    return {shape: Reference(folder) for shape, folder in folders.items()}
