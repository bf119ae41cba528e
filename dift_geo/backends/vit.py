"""Vision transformers beside the diffusion models: DINO, DINOv2, DINOv3 and CLIP through
transformers, from a local folder or the hub.

An image has no noise here: what goes into the network is the image itself, normalised as the model
was trained, and a timestep means nothing. Layers are the blocks of the transformer, -1 the last.
Knows nothing of keypoints or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from dift_geo.backends.cache import configs_fingerprint, files_fingerprint
from dift_geo.backends.config import Dense, DiftConfig, Mode, ReadingName, reading_named
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.hub import locate
from dift_geo.backends.pretrained import pretrained
from dift_geo.backends.tap import run_until
from dift_geo.backends.tasks import Propagation, TaskName
from dift_geo.backends.weights import find_weights
from dift_geo.errors import InputError, MissingFileError, MissingPackageError
from dift_geo.jsonfiles import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["KINDS", "Facet", "Vit", "VitKind"]

Facet = Literal["tokens", "keys"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
KEY_NAMES = ("k_proj", "key")  # of the layer that makes keys, in different transformers
NORM_NAMES = ("layernorm", "norm")  # behind the last block


@dataclass(frozen=True)
class VitKind:
    """A family of models.

    types: `model_type` of its configurations -> class of transformers.
    known: short name -> hub id.
    side: of the square that semantic correspondence shows, in pixels.
    stretches: whether the network has to be told to fit its positions to the image's size.
    mean, std: of the images, where the model does not say.
    """

    types: Mapping[str, str]
    known: Mapping[str, str]
    side: int
    stretches: bool = False
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]


_OPENCLIP = "laion/CLIP-{}-laion2B-s3{}B-b79K"
KINDS: Mapping[str, VitKind] = MappingProxyType(
    {
        "dino": VitKind(
            types={"vit": "ViTModel"},
            known={f"vit{size}": f"facebook/dino-vit{size}" for size in ("s16", "s8", "b16", "b8")},
            side=512,  # of the paper, as for CLIP
            stretches=True,
        ),
        "dinov2": VitKind(
            types={
                "dinov2": "Dinov2Model",
                "dinov2_with_registers": "Dinov2WithRegistersModel",
            },
            known={
                "vits14": "facebook/dinov2-small",
                "vitb14": "facebook/dinov2-base",
                "vitl14": "facebook/dinov2-large",
                "vitg14": "facebook/dinov2-giant",
                "vits14_reg": "facebook/dinov2-with-registers-small",
                "vitb14_reg": "facebook/dinov2-with-registers-base",
                "vitl14_reg": "facebook/dinov2-with-registers-large",
                "vitg14_reg": "facebook/dinov2-with-registers-giant",
            },
            side=840,  # of sd-dino
        ),
        "dinov3": VitKind(
            types={"dinov3_vit": "DINOv3ViTModel"},
            known={
                f"vit{size}16": f"facebook/dinov3-vit{size}16-pretrain-lvd1689m"
                for size in ("s", "b", "l")
            },
            side=960,  # the grid of DINOv2's setting
        ),
        "clip": VitKind(
            types={"clip": "CLIPVisionModel", "clip_vision_model": "CLIPVisionModel"},
            known={
                "ViT-H-14": _OPENCLIP.format("ViT-H-14", 2),
                "ViT-B-16": "openai/clip-vit-base-patch16",
                "ViT-L-14": "openai/clip-vit-large-patch14",
            },
            side=768,
            stretches=True,
            mean=CLIP[0],
            std=CLIP[1],
        ),
    }
)


class Vit(Backend):
    """A vision transformer.

    kind: one of `KINDS`.
    where: a short name of it, a hub id, or a folder in transformers' layout.
    device, precision: see `device.py`.
    revision: branch or commit of a hub id.
    facet: what is read of a block: its output, behind the model's last normalisation where it has
        one (DINO's own reading), or the keys of its attention (Amir et al. 2022).
    Raises MissingFileError when weights cannot be had, InputError when they are damaged or of
    another kind, MissingPackageError without transformers.
    """

    def __init__(
        self,
        kind: str,
        where: str | Path,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        revision: str | None = None,
        facet: Facet = "tokens",
    ) -> None:
        self.kind, self.facet = KINDS[kind], facet
        self.device = pick_device(device)
        self.dtype = pick_dtype(self.device, precision)
        source = locate(
            self.kind.known.get(str(where), where), ["*.json", "*.safetensors", "*.bin"], revision
        )
        self.name = f"{kind}:{source.repo or source.folder.resolve().name}"
        config = _read_config(source.folder)
        self.model = _load(self.kind, kind, source.folder, config).eval().requires_grad_(False)
        nn.Module.to(self.model, self.device, self.dtype)
        self.multiple = int(self.model.config.patch_size)
        mean, std = _normalisation(source.folder, self.kind)
        self._mean, self._std = (
            torch.tensor(own, device=self.device)[:, None, None] for own in (mean, std)
        )
        self._blocks = _blocks(self.model)
        self._recipe = {
            "name": self.name,
            "revision": source.revision,
            "weights": files_fingerprint(find_weights(source.folder)),
            "config": configs_fingerprint(config, {"mean": mean, "std": std}),
            "facet": facet,
            "precision": str(self.dtype).removeprefix("torch."),
        }

    def recipe(self) -> dict[str, object]:
        """Name, hub commit, hashes of weights and configuration, facet and precision."""
        return dict(self._recipe)

    def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
        """The last block for tokens, and the tenth of twelve for keys. No paper has settings for
        matching geometry.
        """
        if mode == "paper":
            raise InputError(
                f"no settings for matching geometry are published for {self.name}; "
                "use --mode default"
            )
        count = len(self._blocks)
        layer = count - 1 if self.facet == "tokens" else max(0, count - 3)
        return DiftConfig(reading=reading_named(reading or "dense"), layers=(layer,), max_batch=8)

    def task_config(self, task: TaskName) -> DiftConfig:
        """Semantic correspondence shows a square of the kind's size."""
        config = self.settings("dense", "default")
        if task != "semantic":
            return config
        side = self.kind.side // self.multiple * self.multiple
        reading = Dense(network_wh=(side, side), resize="pillow")
        return DiftConfig(reading=reading, layers=config.layers, max_batch=config.max_batch)

    def propagation(self) -> Propagation:
        """DINO's own flags; both sides of a frame are multiples of a patch."""
        side = 480 // self.multiple * self.multiple
        multiple = 64 if 64 % self.multiple == 0 else self.multiple
        return Propagation(short_side=side, multiple=multiple)

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """(B, 3, H, W) in [0, 1] -> the same, normalised as the model takes it."""
        return (images.to(self.device, torch.float32) - self._mean) / self._std, None

    def alpha_bar(self, t: int) -> Tensor:
        """All signal: there is no noise in these models."""
        return torch.ones((), device=self.device)

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """What the facet says of each block, (B, C, H/patch, W/patch); t is not used."""
        modules = [self._read_at(layer) for layer in layers]
        stretched = {"interpolate_pos_encoding": True} if self.kind.stretches else {}
        with torch.inference_mode():
            found = run_until(modules, lambda: self.model(x_t.to(self.dtype), **stretched))
            norm = None if self.facet == "keys" else _last_norm(self.model)
            # blocks of older versions give a tuple
            tokens = [each if isinstance(each, Tensor) else each[0] for each in found]
            return [self._as_map(each if norm is None else norm(each), x_t) for each in tokens]

    def _read_at(self, layer: int) -> nn.Module:
        count = len(self._blocks)
        if not -count <= layer < count:
            raise InputError(f"layer is {layer}, expected 0 to {count - 1} for {self.name}")
        block = self._blocks[layer]
        return block if self.facet == "tokens" else _keys(block)

    def _as_map(self, tokens: Tensor, image: Tensor) -> Tensor:
        """(B, N, C) without the tokens that stand for no place -> (B, C, h, w)."""
        h, w = (side // self.multiple for side in image.shape[2:])
        return tokens[:, tokens.shape[1] - h * w :].transpose(1, 2).unflatten(2, (h, w))


def _read_config(folder: Path) -> dict[str, object]:
    file = folder / "config.json"
    if not file.is_file():
        raise MissingFileError(f"no config.json in {folder}; expected transformers' layout")
    return read_json(file, "copy it again")


def _load(kind: VitKind, name: str, folder: Path, config: Mapping[str, object]) -> PreTrainedModel:
    try:
        import transformers
    except ImportError as error:
        raise MissingPackageError(
            f"{name} needs transformers; pip install 'dift-geo[sd]'"
        ) from error

    wanted = kind.types.get(str(config.get("model_type")))
    if wanted is None:
        raise InputError(
            f"{folder} holds a model of type {config.get('model_type')!r}, expected "
            f"{' or '.join(kind.types)} for {name}"
        )
    find_weights(folder)  # its message is clearer than the library's
    try:
        return pretrained(getattr(transformers, wanted), folder)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise InputError(
            f"{folder} cannot be read as {wanted}: {' '.join(str(error).split())[:200]}"
        ) from error


def _normalisation(folder: Path, kind: VitKind) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the images that the model was trained on, as its folder says."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return kind.mean, kind.std
    plain = read_json(file, "copy it again")
    return tuple(plain.get("image_mean", kind.mean)), tuple(plain.get("image_std", kind.std))


def _blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The list of blocks, wherever this version of transformers keeps it."""
    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise InputError(f"{type(model).__name__} has no list of {count} blocks; update transformers")


def _keys(block: nn.Module) -> nn.Module:
    for name, module in block.named_modules():
        if name.rpartition(".")[2] in KEY_NAMES:
            return module
    raise InputError(f"{type(block).__name__} has no layer of keys; read tokens instead")


def _last_norm(model: PreTrainedModel) -> nn.Module | None:
    return next((own for name, own in model.named_children() if name in NORM_NAMES), None)
