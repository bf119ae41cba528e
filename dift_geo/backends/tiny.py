"""The embedded backbone: a small pixel-space diffusion U-Net that ships with the package.

Luma, standardised per image, 4x4 blocks into channels, velocity prediction. Weights are in
diffusers' `UNet2DModel` format; where a folder's architecture is not that of `tiny_unet`, diffusers
builds it. Trained by `pipelines/train_tiny.py`, which writes other folders of the same format; data
and licences in `weights/tiny/README.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.backends.cache import configs_fingerprint
from dift_geo.backends.config import DiftConfig, Effort, Mode, ReadingName
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.modelfiles import (
    SETTINGS_FILE,
    projection_file,
    read_config,
    read_settings,
)
from dift_geo.backends.tap import run_until
from dift_geo.backends.tiny_unet import TinyUnet, cosine_shares, is_plain
from dift_geo.backends.weights import load_module
from dift_geo.errors import InputError, MissingFileError

__all__ = ["Tiny", "WEIGHTS"]

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "tiny"
WEIGHT_FILE = "diffusion_pytorch_model.safetensors"
CONFIG_FILE, SCHEDULER_FILE = "config.json", "scheduler_config.json"
MAX_NUMBER, MAX_LAYERS = 65536, 64  # of channels, steps, layers
BLOCK = 4  # pixels per side that become channels of one cell
LUMA = (0.299, 0.587, 0.114)


class Tiny(Backend):
    """A local folder of `config.json`, `diffusion_pytorch_model.safetensors` and scheduler.

    folder: the model; by default the shipped one. Its `settings.json` says how it is meant to be
        read, and `projection_*.safetensors` are projections fitted for it; folders inside it have
        such files for other efforts.
    device: where it runs.
    precision: `auto` is float32 everywhere, so that descriptors do not depend on the machine;
        `bfloat16` is faster where the CPU has AVX512-BF16.
    random_seed: random weights of the same architecture, drawn from this seed, instead of the
        trained ones, for control experiments.
    Layers: 0, 1, 2 are `up_blocks`, -1 is the middle block, -2 to -4 are `down_blocks` from there
    outwards, before they halve the map. Raises MissingFileError when the folder holds no model.
    """

    def __init__(
        self,
        folder: str | Path = WEIGHTS,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "auto",
        random_seed: int | None = None,
    ) -> None:
        self.folder = self.read_from = Path(folder)
        weights = self.folder / WEIGHT_FILE
        if not weights.is_file():
            raise MissingFileError(
                f"no weights at {weights}; "
                "expected a folder written by pipelines/train_tiny.py export"
            )
        self.device = pick_device(device)
        self.dtype = pick_dtype(self.device, "float32" if precision == "auto" else precision)
        self.alphas_cumprod: Tensor = _schedule(self.folder).to(self.device)
        self.random_seed = random_seed
        if random_seed is None:
            unet = _trained(self.folder)
            self.fingerprint = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        else:
            unet = _random(self.folder, random_seed)
            self.fingerprint = f"random-{random_seed}"
        self.unet = unet.float().eval().requires_grad_(False)
        # diffusers' own `to` warns of what no layer here asks for
        torch.nn.Module.to(self.unet, self.device, self.dtype)
        if self.device.type == "cpu":  # normalisation of small maps is slow with channels last
            for parameter in self.unet.parameters():
                parameter.data = parameter.data.contiguous()
        self.name = self.folder.resolve().name
        self.multiple = BLOCK * 2 ** (len(self._list("up_blocks")) - 1)
        # as written: what diffusers adds of its own differs between its versions
        configs = [read_config(self.folder / file) for file in (CONFIG_FILE, SCHEDULER_FILE)]
        self._config = configs_fingerprint(*configs)

    def recipe(self) -> dict[str, object]:
        """Name, fingerprints of weights and configurations, and the precision if not float32."""
        recipe: dict[str, object] = {
            "name": self.name,
            "weights": self.fingerprint,
            "config": self._config,
        }
        if self.dtype != torch.float32:
            recipe["precision"] = str(self.dtype).removeprefix("torch.")
        return recipe

    def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
        """The folder's own settings; the shipped ones where it has none. No paper has any."""
        if mode == "paper":
            raise InputError(
                f"no paper settings for {self.name}, expected --backend sd2.1, another Stable "
                "Diffusion or adm; use --mode default"
            )
        own = self.read_from / SETTINGS_FILE
        try:
            return read_settings(own if own.is_file() else WEIGHTS / SETTINGS_FILE, reading)
        except InputError as error:
            if self.read_from == self.folder:
                raise
            raise InputError(f"{error}; or leave --effort out") from error

    def projection(self, reading: ReadingName, beside: str | None) -> Path | None:
        """The folder's projection for a reading; random weights have none.

        beside: name of the describer whose rows go through the projection too (`rootsift`).
        """
        if self.random_seed is not None:
            return None
        return projection_file(self.read_from, reading, beside)

    def at_effort(self, effort: Effort) -> Tiny:
        """The same weights, read as the folder of that name inside the model's says, with the
        projections there.
        """
        folder = self.folder / effort
        if effort == "default":
            return self
        if self.random_seed is not None or not (folder / SETTINGS_FILE).is_file():
            raise InputError(
                f"effort is {effort!r}, but {self.name} has no settings for it; leave --effort out"
            )
        other = copy(self)
        other.read_from = folder
        return other

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """(B, 3 or 1, H, W) in [0, 1] -> (B, 16, H/4, W/4): luma of zero mean and unit deviation
        per image; it is not random.
        """
        images = images.to(self.device, torch.float32)
        # one channel, or one shown three times without copying
        grey = images.shape[1] == 1 or images.stride(1) == 0
        luma = (
            images[:, :1]
            if grey
            else (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        )
        centred = luma - luma.mean((2, 3), keepdim=True)
        # of the deviation, by a norm: `torch.std` takes twenty times as long
        degrees = max(luma.shape[2] * luma.shape[3] - 1, 1)
        std = torch.linalg.vector_norm(centred, dim=(2, 3), keepdim=True) / degrees**0.5
        return F.pixel_unshuffle(centred / (std + 1e-3 / 255), BLOCK), None

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t of 1000."""
        return self.alphas_cumprod[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the layers named in the class's docstring, each (B, C, h, w)."""
        modules = [self._block(layer) for layer in layers]
        with torch.inference_mode():
            return run_until(modules, lambda: self.unet(x_t.to(self.dtype), t))

    def _block(self, layer: int) -> torch.nn.Module:
        levels = len(self._list("up_blocks"))
        if not -1 - levels <= layer < levels:
            raise InputError(
                f"layer is {layer}, expected {-1 - levels} to {levels - 1} for {self.name}"
            )
        if layer < -1:
            return self._list(f"down_blocks.{levels + 1 + layer}.resnets")[-1]
        if layer == -1:
            return self.unet.get_submodule("mid_block")
        return self._list("up_blocks")[layer]

    def _list(self, name: str) -> torch.nn.ModuleList:
        return cast(torch.nn.ModuleList, self.unet.get_submodule(name))


def _trained(folder: Path) -> torch.nn.Module:
    weights = folder / WEIGHT_FILE
    unet = load_module(
        lambda: _network(folder), [weights], device=torch.device("cpu"), dtype=torch.float32
    )
    for name, tensor in unet.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{weights} is damaged: {name} holds NaN or infinity; copy it again")
    return unet


def _random(folder: Path, seed: int) -> torch.nn.Module:
    """Torch's own random weights; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _network(folder)


def _network(folder: Path) -> torch.nn.Module:
    """The architecture that a folder describes. Raises InputError where it describes none."""
    config = read_config(folder / CONFIG_FILE)
    with _described_by(folder / CONFIG_FILE):
        _check_sizes(config)
        if is_plain(config):
            return TinyUnet(config)
        from diffusers.models.unets.unet_2d import UNet2DModel

        return cast(torch.nn.Module, UNet2DModel.from_config(config))


def _schedule(folder: Path) -> Tensor:
    """The share of signal at each step of training."""
    config = read_config(folder / SCHEDULER_FILE)
    with _described_by(folder / SCHEDULER_FILE):
        _check_sizes(config)
        fields = {name: value for name, value in config.items() if not name.startswith("_")}
        shares = _shares(fields)
        if not torch.isfinite(shares).all():
            raise ValueError("its noise is not finite")
        return shares


def _shares(schedule: Mapping[str, object]) -> Tensor:
    other = schedule.get("trained_betas") or schedule.get("rescale_betas_zero_snr")
    if schedule.get("beta_schedule") == "squaredcos_cap_v2" and not other:
        return cosine_shares(cast(int, schedule.get("num_train_timesteps", 1000)))
    from diffusers import DDPMScheduler

    return cast(Tensor, vars(DDPMScheduler(**schedule))["alphas_cumprod"])


def _check_sizes(config: Mapping[str, object]) -> None:
    """Raise ValueError for numbers of no network: building it would take all memory."""
    for name, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= MAX_NUMBER:
                raise ValueError(f"{name} is {str(number)[:20]}")
    layers = config.get("layers_per_block", 1)
    if not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS:
        raise ValueError(f"layers_per_block is {layers!r}")


@contextmanager
def _described_by(file: Path) -> Iterator[None]:
    """What diffusers raises in the `with` block is the fault of this configuration."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever comes to it
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{file} describes no model of ours ({text}); copy it again") from error
