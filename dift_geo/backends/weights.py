"""Find, check and read weight files.

safetensors first; pickles only as plain tensors (`weights_only=True`); no remote code. Whatever is
missing, cut short or of another architecture ends in one line that says what to do. Knows no
network beyond its state dict.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import read_json

__all__ = ["check_keys", "find_weights", "load_module", "place", "read_tensors"]

Module = TypeVar("Module", bound=nn.Module)
# the file is mapped, and what was read of it counts as memory until it is closed
TENSORS_PER_OPENING = 32
# diffusers' and transformers' names of weight files
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")


def find_weights(folder: Path, variants: Sequence[str] = ("",)) -> list[Path]:
    """The weight files in a folder, all shards; safetensors before pickles, then in the order of
    `variants`.

    Raises MissingFileError when there are none or a shard is missing.
    """
    for suffix in ("safetensors", "bin"):
        for variant in variants:
            found = _of_variant(folder, suffix, variant)
            if found:
                return found
    others = sorted(path.name for path in folder.glob("*.*") if path.suffix in _WEIGHT_SUFFIXES)
    if others:
        raise MissingFileError(
            f"{folder} holds {', '.join(others)}, expected {STEMS[0]}.safetensors; rename it"
        )
    raise MissingFileError(
        f"no weights in {folder}, expected {STEMS[0]}.safetensors; download the model again"
    )


_WEIGHT_SUFFIXES = (".safetensors", ".bin")


def _of_variant(folder: Path, suffix: str, variant: str) -> list[Path]:
    """The files of one format and precision, whole or in shards; none where they are not there."""
    dot = f".{variant}" if variant else ""
    for stem in STEMS:
        single = folder / f"{stem}{dot}.{suffix}"
        if single.is_file():
            return [single]
        index = folder / f"{stem}.{suffix}.index{dot}.json"
        if index.is_file():
            return _shards(index)
    return []


def _shards(index: Path) -> list[Path]:
    listed = read_json(index, "download the model again").get("weight_map")
    if not isinstance(listed, dict):
        raise InputError(f"{index} lists no weights; download the model again")
    names = sorted({str(name) for name in listed.values()})
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise MissingFileError(
            f"{index.parent} lacks {len(missing)} of {len(names)} shards ({missing[0]}); "
            "download it again"
        )
    return [index.parent / name for name in names]


def read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, one by one, from a safetensors file or a pickled state dict; copy what you
    keep.

    Raises InputError for a file that is cut short, corrupt, or holds anything but tensors.
    """
    from safetensors import SafetensorError

    try:
        if path.suffix == ".safetensors":
            yield from _from_safetensors(path)
        else:
            yield from _from_pickle(path).items()
    except (SafetensorError, EOFError, RuntimeError, OSError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise InputError(
            f"{path} is cut short or corrupt ({size} bytes); delete it and download it again"
        ) from error


def _from_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        keys = sorted(file.keys())
    for start in range(0, len(keys), TENSORS_PER_OPENING):
        with safe_open(str(path), "pt") as file:
            for key in keys[start : start + TENSORS_PER_OPENING]:
                yield key, file.get_tensor(key)


def _from_pickle(path: Path) -> dict[str, Tensor]:
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
            f"{path} holds {type(state).__name__} with more than tensors, "
            "expected a plain state dict"
        )
    return state


def load_module(
    build: Callable[[], Module],
    files: Sequence[Path],
    *,
    device: torch.device,
    dtype: torch.dtype,
    rename: Callable[[str], str | None] = lambda key: key,
) -> Module:
    """The module `build` makes, with exactly the tensors of `files`.

    Built without storage and filled tensor by tensor, so that memory never holds random weights or
    a second copy.

    rename: checkpoint key -> module key, None to leave a tensor out.
    Raises InputError when keys or shapes differ: the checkpoint is of another architecture.
    """
    with torch.device("meta"):
        module = build()
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    state: dict[str, Tensor] = {}
    for path in files:
        for name, tensor in read_tensors(path):
            key = rename(name)
            if key is not None:
                state[key] = place(_fitted(tensor, expected.get(key)), device, dtype)
    check_keys(state, expected, files[0], type(module).__name__)
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _fitted(tensor: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """The tensor in the shape expected of it, where its numbers fit: linear layers once were 1x1
    convolutions.
    """
    if shape is None or tensor.shape == shape or tensor.numel() != math.prod(shape):
        return tensor
    return tensor.reshape(shape)


def place(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy where and as the network runs; convolutions with channels last, which is faster on
    CPUs and GPUs.
    """
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device, dtype, copy=True, memory_format=layout)


def check_keys(
    state: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    path: Path,
    architecture: str,
) -> None:
    """Raise InputError in one line when a state dict is not the expected one."""
    both = expected.keys() & state.keys()
    differences = {
        "missing": expected.keys() - state.keys(),
        "unexpected": state.keys() - expected.keys(),
        "of another shape": {key for key in both if tuple(state[key].shape) != expected[key]},
    }
    problems = [
        f"{len(keys)} {kind} (first {min(keys)})" for kind, keys in differences.items() if keys
    ]
    if problems:
        raise InputError(
            f"{path} is of another architecture than {architecture} as configured: "
            f"tensors {', '.join(problems)}; give the folder or id of a complete model"
        )
