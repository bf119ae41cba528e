"""Device and precision: one policy for every backbone, and refusals in one line."""

from __future__ import annotations

import pytest
import torch

from dift_geo.backends.device import pick_device, pick_dtype
from dift_geo.backends.loader import load_backend
from dift_geo.errors import InputError


def test_precision_and_device_are_one_policy() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [pick_dtype(cpu), pick_dtype(cuda), pick_dtype(torch.device("mps"))] == [
        torch.float32,
        torch.float16,
        torch.float16,
    ]
    assert pick_dtype(cuda, "bfloat16") == torch.bfloat16
    assert pick_device("cpu") == cpu
    assert pick_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match="precision is 'half', expected one of auto, float32"):
        pick_dtype(cpu, "half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device is 'gpu', expected auto"):
        pick_device("gpu")
    with pytest.raises(
        ValueError, match=r"device is 'meta' but torch .* sees none here; use --dev"
    ):
        pick_device("meta")  # torch takes it, and nothing can be computed there
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device is 'cuda' but torch .* sees none here"):
            pick_device("cuda")


@pytest.mark.parametrize("device", ["xpu", "hpu", "xla", "mtia", "vulkan", "cuda:99"])
def test_a_device_that_torch_knows_and_lacks_is_refused_in_one_line(device: str) -> None:
    """It used to end in a traceback, deep inside torch."""
    if getattr(torch, device, None) is not None and getattr(torch, device).is_available():
        pytest.skip(f"this machine has {device}")
    with pytest.raises(InputError, match=f"device is '{device}' but torch .* --device cpu") as told:
        pick_device(device)
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=f"device is '{device}'"):
        load_backend("tiny", device=device)
