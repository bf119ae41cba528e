"""DISK (Tyszkiewicz, Fua and Trulls 2020): learned keypoints with descriptors of their own.

The network is kornia's; its published weights are under the Apache 2.0 licence. Its last layer,
which is four fifths of the work, is computed for the scores alone, and for descriptors only where
there are keypoints. Knows nothing of diffusion.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dift_geo.backends.cache import file_sha256
from dift_geo.backends.device import pick_device
from dift_geo.backends.weights import check_keys, place, read_tensors
from dift_geo.detectors.bilinear import PixelRows
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.last_image import LastImage
from dift_geo.detectors.peaks import (
    is_plain,
    keypoints_of,
    lone_maxima,
    no_keypoints,
    parabola_tops,
    patches_at,
)
from dift_geo.detectors.published import Published, find_weights_file
from dift_geo.errors import InputError, MissingPackageError
from dift_geo.options import require_at_least
from dift_geo.types import Keypoints

__all__ = ["DISK", "MODELS", "Disk"]

DISK = "depth"
DIM = 128
LAST_BLOCK = "path_up.3.conv"  # in kornia's network: norm, gate, dropout, and the layer as 3
MULTIPLE, LEAST = 16, 32  # sides are padded to it; one coarse pixel alone cannot be standardised
AT_ONCE = 1024  # keypoints described together; bounds memory
MODELS: Mapping[str, Published] = MappingProxyType(
    {
        DISK: Published(
            url=(
                "https://raw.githubusercontent.com/cvlab-epfl/disk/"
                "8dc6d4d65b47210f629e21ad1fbfb56944b11696/depth-save.pth"
            ),
            sha256="9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe",
            wheel_name="disk-depth-save.pth",
        )
    }
)


@dataclass(frozen=True)
class _Encoding:
    """What the network made of an image.

    scores: (height, width), unbounded.
    last: what the last layer sees, of the padded image.
    """

    scores: Tensor
    last: PixelRows


class Disk(Detector, Describer):
    """Detector, and describer with the network's own descriptors."""

    name = "disk"

    def __init__(
        self,
        max_keypoints: int = 2048,
        where: str | Path = DISK,
        *,
        threshold: float = 0.0,
        window: int = 5,
        refine: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the network. The defaults are the authors', but for `refine`.

        max_keypoints: the highest scores kept; without scale or angle.
        where: depth, the published weights; a weight file; or a folder that holds one.
        threshold: least score, which has no bounds.
        window: pixels, odd; a keypoint is the highest in a square of this side.
        refine: move keypoints between pixels, by parabolas through the scores.
        Raises MissingFileError or InputError where the weights cannot be had or are not DISK's.
        """
        require_at_least("DISK's max_keypoints", max_keypoints, 1)
        if window < 3 or window % 2 == 0:
            raise InputError(f"DISK's window is {window}, expected an odd number of at least 3")
        file = find_weights_file(where, MODELS, "*disk*")
        self.device = pick_device(device)
        self._unet, self._layer = _load(file, self.device)
        self.max_keypoints, self.threshold = max_keypoints, threshold
        self.window, self.refine = window, refine
        self._weights = file_sha256(file)[:16]
        self._last: LastImage[_Encoding] = LastImage()

    def recipe(self) -> dict[str, object]:
        """What determines keypoints and descriptors, for the store."""
        return {
            "name": self.name,
            "weights": self._weights,
            "max_keypoints": self.max_keypoints,
            "threshold": self.threshold,
            "window": self.window,
            "refine": self.refine,
        }

    def own_describer(self) -> Disk:
        """Itself."""
        return self

    def detect(self, image: NDArray[np.uint8], name: str = "") -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, highest score first, whatever its name."""
        size_wh, radius = (image.shape[1], image.shape[0]), self.window // 2
        if is_plain(image):
            return no_keypoints(size_wh)
        with torch.inference_mode():
            scores = self._encoded(image).scores
            pixels = lone_maxima(scores, radius)
            pixels = pixels[scores[pixels[:, 1], pixels[:, 0]] > self.threshold]
            peaks = scores[pixels[:, 1], pixels[:, 0]]
            xy = pixels.to(scores)
            if self.refine:
                xy = xy + parabola_tops(patches_at(scores, pixels, 1))
            return keypoints_of(xy, peaks, size_wh, self.max_keypoints)

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """The network's own descriptors of (H, W, 3) uint8 RGB at any keypoints.

        Returns (N, 128) float32 rows of unit length; between pixels they are read bilinearly.
        """
        if not len(keypoints):
            return np.zeros((0, DIM), np.float32)
        with torch.inference_mode():
            last = self._encoded(image).last
            xy = torch.from_numpy(keypoints.xy).to(self.device)
            rows = torch.cat([self._describe(last, some) for some in xy.split(AT_ONCE)])
        return rows.cpu().numpy()

    def _describe(self, last: PixelRows, xy: Tensor) -> Tensor:
        """The last layer at places: as it is linear, what it sees is read between pixels."""
        steps = _steps(self._layer).to(xy)
        seen = last.at((xy[:, None] + steps).reshape(-1, 2)).view(len(xy), -1)
        kernel = self._layer.weight[:DIM].permute(0, 2, 3, 1).reshape(DIM, -1)
        return F.normalize(F.linear(seen, kernel, self._bias[:DIM]), dim=1)

    @property
    def _bias(self) -> Tensor:
        assert self._layer.bias is not None
        return self._layer.bias

    def _encoded(self, image: NDArray[np.uint8]) -> _Encoding:
        return self._last.get(image, self._encode)

    def _encode(self, image: NDArray[np.uint8]) -> _Encoding:
        height, width = image.shape[:2]
        below, right = (max(side + -side % MULTIPLE, LEAST) - side for side in (height, width))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        pixels = pixels.permute(2, 0, 1)[None].float() / 255
        last: Tensor = self._unet(F.pad(pixels, (0, right, 0, below)))
        return _Encoding(self._scores(last)[:height, :width], PixelRows.of(last))

    def _scores(self, last: Tensor) -> Tensor:
        """The last channel of the last layer, (height, width).

        A product for every step of the kernel and a sum of shifted maps: convolutions to a single
        channel are slow.
        """
        _, _, height, width = last.shape
        steps = _steps(self._layer)
        kernel = self._layer.weight[DIM].flatten(1).T[:, :, None, None]  # (25, C, 1, 1)
        reach = int(steps.max())
        shares = F.pad(F.conv2d(last, kernel), [reach] * 4)[0]
        total = self._bias[DIM].expand(height, width).clone()
        for share, (x, y) in zip(shares, steps.tolist()):
            total += share[y + reach : y + reach + height, x + reach : x + reach + width]
        return total


def _steps(layer: nn.Conv2d) -> Tensor:
    """Where the kernel of a layer reads, from its middle: (25, 2) (x, y), row by row."""
    reach = layer.kernel_size[0] // 2
    line = torch.arange(-reach, reach + 1)
    return torch.cartesian_prod(line, line).flip(1)


def _load(file: Path, device: torch.device) -> tuple[nn.Module, nn.Conv2d]:
    """kornia's network up to what its last layer sees, and that layer."""
    try:
        from kornia import feature
    except ImportError as error:
        raise MissingPackageError("DISK needs kornia; pip install kornia") from error

    with torch.device("meta"):
        network = feature.DISK()
    state = {
        key: place(tensor, device, torch.float32).contiguous()
        for key, tensor in _read(file).items()
    }
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    check_keys(state, expected, file, "DISK")
    network.load_state_dict(state, assign=True)
    unet = network.eval().requires_grad_(False).unet
    layer = unet.get_submodule(f"{LAST_BLOCK}.3")
    assert isinstance(layer, nn.Conv2d)
    setattr(unet.get_submodule(LAST_BLOCK), "3", nn.Identity())
    return unet, layer


def _read(file: Path) -> dict[str, Tensor]:
    """The state dict of a file; DISK's authors put it beside nothing else into another dict."""
    if file.suffix == ".safetensors":
        return dict(read_tensors(file))
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, OSError) as error:
        raise InputError(
            f"{file} is cut short, corrupt, or holds more than tensors; download it again"
        ) from error
    state = held.get("extractor", held) if isinstance(held, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{file} holds no state dict, expected DISK's, such as depth-save.pth")
    return dict(state)
