"""From words to backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dift_geo.backends import stable_diffusion as module
from dift_geo.backends.loader import load_backend
from dift_geo.backends.stable_diffusion import KNOWN


def test_load_backend_finds_the_right_kind(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_backend(str(folders["sd1"])).name == "sd:sd1"
    asked: list[Any] = []
    monkeypatch.setattr(module, "StableDiffusion", lambda where, **options: asked.append(where))
    for name in [*KNOWN, "somebody/some-model"]:
        load_backend(name)
    assert asked == [*KNOWN, "somebody/some-model"]
    with pytest.raises(ValueError, match=r"unknown backend 'sd3', expected tiny, adm, sd2\.1"):
        load_backend("sd3")
