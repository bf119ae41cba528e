"""The embedded backbone: a small pixel-space diffusion U-Net that ships with the package.

Luma, standardised per image, 4x4 blocks into channels, velocity prediction; weights in diffusers'
`UNet2DModel` format. Trained by `pipelines/train_tiny.py`; data and licences in
`weights/tiny/README.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.backends.device import Precision, pick_dtype
from dift_geo.backends.tap import run_until
from dift_geo.errors import InputError, MissingFileError

__all__ = ["Tiny", "WEIGHTS"]

WEIGHTS = Path(__file__).parent.parent / "weights" / "tiny"
BLOCK = 4  # pixels per side that become channels of one cell
LUMA = (0.299, 0.587, 0.114)


class Tiny:
    """The backend protocol on a local folder of `config.json`,
    `diffusion_pytorch_model.safetensors` and scheduler.

    folder: model folder, by default the shipped one. seed: random weights of the same architecture
    instead of the trained ones, for control experiments. precision: `auto` is float32 everywhere,
    so that descriptors do not depend on the machine; `bfloat16` is faster where the CPU has
    AVX512-BF16. Layers: 0, 1, 2 are `up_blocks`, -1 is the middle block, -2 to -4 are `down_blocks`
    from there outwards, before they halve the map. Raises FileNotFoundError when the folder holds
    no model.
    """

    def __init__(
        self,
        folder: str | Path = WEIGHTS,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "auto",
        random_seed: int | None = None,
    ) -> None:
        from diffusers import DDPMScheduler, UNet2DModel

        folder = Path(folder)
        weights = folder / "diffusion_pytorch_model.safetensors"
        if not weights.is_file():
            raise MissingFileError(
                f"no weights at {weights}; expected a folder written by pipelines/train_tiny.py export"
            )
        self.device = torch.device(device)
        if random_seed is None:
            unet = UNet2DModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
            self.fingerprint = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(random_seed)
                unet = UNet2DModel.from_config(UNet2DModel.load_config(folder))
            self.fingerprint = f"random-{random_seed}"
        self.dtype = pick_dtype(self.device, "float32" if precision == "auto" else precision)
        self.unet = unet.float().eval().requires_grad_(False)
        # diffusers' own `to` warns of what no layer here asks for
        torch.nn.Module.to(self.unet, self.device, self.dtype)
        self.alphas_cumprod = DDPMScheduler.from_pretrained(
            folder, local_files_only=True
        ).alphas_cumprod.to(self.device)
        self.name = "tiny" if folder == WEIGHTS else folder.name
        self.folder = folder
        self.multiple = BLOCK * 2 ** (len(self.unet.up_blocks) - 1)

    def recipe(self) -> dict[str, Any]:
        """Name and fingerprint of the weights, and the precision where it is not float32."""
        reduced = (
            {}
            if self.dtype == torch.float32
            else {"precision": str(self.dtype).removeprefix("torch.")}
        )
        return {"name": self.name, "weights": self.fingerprint, **reduced}

    def projection_file(self, reading: str, beside: str | None = None) -> Path | None:
        """The closed-form projection shipped for a reading (`dense` or `oriented`), if there is
        one.

        beside: name of the detector whose own descriptors (`sift`: RootSIFT) go through the
        projection too.
        """
        file = (
            self.folder
            / f"projection_{reading}{'' if beside is None else f'+{beside}'}.safetensors"
        )
        return file if file.is_file() and not self.fingerprint.startswith("random") else None

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 3 or 1, H, W) in [0, 1] -> (B, 16, H/4, W/4): luma of zero mean and unit deviation
        per image.

        There is no posterior to draw from: `generator` is not used.
        """
        images = images.to(self.device, torch.float32)
        # one channel, or one shown three times without copying
        grey = images.shape[1] == 1 or images.stride(1) == 0
        luma = (
            images[:, :1]
            if grey
            else (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        )
        std, mean = torch.std_mean(luma, dim=(2, 3), keepdim=True)
        return F.pixel_unshuffle((luma - mean) / (std + 1e-3 / 255), BLOCK)

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t of 1000."""
        return self.alphas_cumprod[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the layers named in the class's docstring, each (B, C, h, w)."""
        modules = [self._block(layer) for layer in layers]
        with torch.inference_mode():
            return run_until(modules, lambda: self.unet(x_t.to(self.dtype), t))

    def _block(self, layer: int) -> torch.nn.Module:
        levels = len(self.unet.up_blocks)
        if not -1 - levels <= layer < levels:
            raise InputError(
                f"layer is {layer}, expected {-1 - levels} to {levels - 1} for {self.name}"
            )
        if layer < -1:
            return self.unet.down_blocks[levels + 1 + layer].resnets[-1]
        return self.unet.mid_block if layer == -1 else self.unet.up_blocks[layer]
