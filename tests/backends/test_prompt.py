"""The prompt's embedding: computed once per model and text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dift_geo.backends import prompt
from dift_geo.backends.stable_diffusion import StableDiffusion


def test_the_prompt_is_embedded_once_per_model_and_text(
    copy: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path))
    folder, asked = copy(), []
    embed = prompt._embed
    monkeypatch.setattr(prompt, "_embed", lambda *args: asked.append(args[1]) or embed(*args))
    first = StableDiffusion(folder)
    again = StableDiffusion(folder)
    other = StableDiffusion(folder, prompt="a wall")
    assert asked == ["", "a wall"]
    assert torch.equal(first._prompt, again._prompt)
    assert not torch.equal(first._prompt, other._prompt)
    for file in (tmp_path / "prompts").iterdir():
        file.write_bytes(file.read_bytes()[:-9])  # a damaged cache is made again
    assert torch.equal(StableDiffusion(folder)._prompt, first._prompt)
    assert asked == ["", "a wall", ""]
    # a cache that cannot be written is no failure
    monkeypatch.setenv("DIFT_GEO_CACHE", "/proc/no/such/place")
    assert torch.equal(StableDiffusion(folder)._prompt, first._prompt)
