"""Where a backbone runs and in what precision: decided here, for every backbone.

float32 on the CPU, where half is slow; float16 on CUDA and MPS, where it halves memory and time;
bfloat16 only when asked for, as it keeps 8 bits of mantissa. Knows no model.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from dift_geo.errors import InputError

__all__ = ["Precision", "pick_device", "pick_dtype"]

Precision = Literal["auto", "float32", "float16", "bfloat16"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """`auto` takes CUDA, else MPS, else the CPU.

    Raises InputError for a device that this machine or this torch lacks.
    """
    if device == "auto":
        seen = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((name for name, there in seen.items() if there), "cpu"))
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise InputError(
            f"device is {str(device)!r}, expected auto, cpu, cuda, cuda:N or mps"
        ) from error
    if not _computes(picked):
        raise InputError(
            f"device is {str(device)!r} but torch {torch.__version__} sees none here; "
            "use --device cpu"
        )
    return picked


def _computes(device: torch.device) -> bool:
    """Whether a number put on the device comes back: torch knows many it was not built for."""
    try:
        return torch.ones((), device=device).item() == 1
    except (AssertionError, ImportError, RuntimeError):  # NotImplementedError is of the last kind
        return False


def pick_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The number format of weights and activations. Raises InputError for an unknown word."""
    if precision not in get_args(Precision):
        raise InputError(
            f"precision is {precision!r}, expected one of {', '.join(get_args(Precision))}"
        )
    if precision == "auto":
        return torch.float16 if device.type in ("cuda", "mps") else torch.float32
    return DTYPES[precision]
