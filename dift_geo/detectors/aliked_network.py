"""The network of ALIKED (Zhao and others 2023), in plain torch, for inference on one image.

Names and shapes are those of the published weights, and so is what is computed. How is ours: the
map of all features is never made; it is read only where a descriptor needs it. Knows neither files
nor keypoints' choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dift_geo.detectors.bilinear import PixelRows, four_around
from dift_geo.errors import InputError

__all__ = ["AlikedNetwork", "AlikedSizes", "Encoding"]

STRIDES = (1, 2, 8, 32)  # of the four levels
MULTIPLE = 32  # sides are padded to it
TAPS = 9  # of a 3 x 3 kernel
REACH = 4  # what is deformed moves by at most the longer side over this
AT_ONCE = 256  # keypoints described together: what they read fits the processor's cache
EPSILON = 1e-12  # shorter features stay as short, as in `F.normalize`


@dataclass(frozen=True)
class AlikedSizes:
    """What differs between the published networks.

    widths: channels of the four blocks; the last is the length of descriptors.
    positions: places that a descriptor reads around its keypoint.
    """

    widths: tuple[int, int, int, int]
    positions: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], label: str) -> AlikedSizes:
        """The sizes that weights of these shapes are for. Raises InputError for other weights."""
        first = "block1.conv1", "block2.conv1", "block3.conv1.regular_conv"
        names = [f"{name}.weight" for name in (*first, "block4.conv1.regular_conv")]
        missing = {*names, "desc_head.agg_weights"} - shapes.keys()
        if missing:
            raise InputError(
                f"{label} holds no {min(missing)}, expected the weights of ALIKED, "
                "such as aliked-n16.pth"
            )
        one, two, three, four = (shapes[name][0] for name in names)
        return cls((one, two, three, four), shapes["desc_head.agg_weights"][0])


@dataclass(frozen=True)
class Encoding:
    """What the network made of an image.

    scores: (height, width), from 0 to 1: whether a pixel is a keypoint.
    levels: features of the padded image, from fine to coarse.
    corner_xy: pixels of padding to the left and above.
    padded_wh: size of the padded image.
    """

    scores: Tensor
    levels: tuple[PixelRows, ...]
    corner_xy: tuple[int, int]
    padded_wh: tuple[int, int]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the image, without padding."""
        return self.scores.shape[1], self.scores.shape[0]

    def features(self, pixels: Tensor) -> Tensor:
        """Unit features at whole (N, 2) pixels of the image -> (N, C)."""
        return F.normalize(self._raw(pixels), dim=1)

    def features_between(self, xy: Tensor) -> Tensor:
        """The same between pixels, at (N, 2) places; outside of the image is zero."""
        x, y, weights = four_around(xy, *self.size_wh)
        raw = self._raw(torch.stack((x.flatten(), y.flatten()), 1)).view(len(xy), 4, -1)
        lengths = torch.linalg.vector_norm(raw, dim=2).clamp(min=EPSILON)
        return ((weights / lengths)[:, None] @ raw)[:, 0]

    def _raw(self, pixels: Tensor) -> Tensor:
        padded = (pixels + pixels.new_tensor(self.corner_xy)).to(self.scores)
        parts = []
        for level in self.levels:
            # levels are enlarged so that the centres of their corner pixels meet
            steps = [level.width - 1, level.height - 1]
            shrink = padded.new_tensor(steps) / (padded.new_tensor(self.padded_wh) - 1)
            parts.append(level.at(padded * shrink))
        return torch.cat(parts, 1)


class AlikedNetwork(nn.Module):
    """Encoder, score head and descriptor head."""

    def __init__(self, sizes: AlikedSizes) -> None:
        super().__init__()
        one, two, three, four = sizes.widths
        self.dim = four
        self.block1 = _Block(3, one, residual=False)
        self.block2 = _Block(one, two)
        self.block3 = _Block(two, three, deformed=True)
        self.block4 = _Block(three, four, deformed=True)
        self.conv1 = nn.Conv2d(one, four // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(two, four // 4, 1, bias=False)
        self.conv3 = nn.Conv2d(three, four // 4, 1, bias=False)
        self.conv4 = nn.Conv2d(four, four // 4, 1, bias=False)
        self.score_head = nn.Sequential(
            nn.Conv2d(four, 8, 1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(8, 4, 3, padding=1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )
        self.desc_head = _DescriptorHead(four, sizes.positions)

    def forward(self, image: Tensor) -> Encoding:
        """Encode (1, 3, height, width) RGB from 0 to 1."""
        height, width = image.shape[2:]
        right, below = -width % MULTIPLE, -height % MULTIPLE
        left, above = right // 2, below // 2
        padding = (left, right - left, above, below - above)
        padded = F.pad(image, padding, mode="replicate")
        maps = self._levels(padded.contiguous(memory_format=torch.channels_last))
        scores = self._scores(maps)[above : above + height, left : left + width]
        levels = tuple(PixelRows.of(values) for values in maps)
        return Encoding(scores, levels, (left, above), (width + right, height + below))

    def describe(self, encoding: Encoding, xy: Tensor) -> Tensor:
        """Unit rows (N, dim) at (N, 2) pixels of the image."""
        parts = [self.desc_head(encoding, some) for some in xy.split(AT_ONCE)]
        return torch.cat(parts) if parts else xy.new_zeros(0, self.dim)

    def _levels(self, padded: Tensor) -> list[Tensor]:
        x1 = self.block1(padded)
        x2 = self.block2(F.avg_pool2d(x1, 2))
        x3 = self.block3(F.avg_pool2d(x2, 4))
        x4 = self.block4(F.avg_pool2d(x3, 4))
        convs = (self.conv1, self.conv2, self.conv3, self.conv4)
        return [_selu(_mix(x, conv)) for x, conv in zip((x1, x2, x3, x4), convs)]

    def _scores(self, maps: list[Tensor]) -> Tensor:
        """The score head, (height, width).

        Its first layer is linear and blind to neighbours: done on each level before enlarging, it
        gives the same from eight channels instead of all.
        """
        first = self.score_head[0]
        assert isinstance(first, nn.Conv2d)
        shares = first.weight.flatten(1).chunk(len(maps), 1)
        total, *others = (_product(values, share) for values, share in zip(maps, shares))
        for small in others:
            total += F.interpolate(small, total.shape[2:], mode="bilinear", align_corners=True)
        return torch.sigmoid(self.score_head[1:](total))[0, 0]


class _Block(nn.Module):
    """Two convolutions of 3 x 3, and with `residual` what came in beside them."""

    def __init__(
        self, inputs: int, outputs: int, *, deformed: bool = False, residual: bool = True
    ) -> None:
        super().__init__()
        self.conv1 = _conv3(inputs, outputs, deformed)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3(outputs, outputs, deformed)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        inner = _selu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(inner))
        return _selu(out if self.downsample is None else out.add_(_mix(x, self.downsample)))


def _selu(values: Tensor) -> Tensor:
    return F.selu(values, inplace=True)


def _mix(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution of 1 x 1; with channels last it is a product, and faster as one."""
    mixed = _product(x, conv.weight.flatten(1))
    return mixed if conv.bias is None else mixed + conv.bias[:, None, None]


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


def _conv3(inputs: int, outputs: int, deformed: bool) -> nn.Module:
    if deformed:
        return _Deformed(inputs, outputs)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class _Deformed(nn.Module):
    """A convolution of 3 x 3 whose nine taps are moved, each pixel's on its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(inputs, 2 * TAPS, 3, padding=1)
        self.regular_conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        reach = max(height, width) / REACH
        moves = self.offset_conv(x)[0].clamp(-reach, reach)
        moves = moves.permute(1, 2, 0).reshape(height, width, TAPS, 2)  # (y, x) of each tap
        places = _taps(height, width).to(x) + moves
        rows = PixelRows.of(x).at(places.flip(-1).reshape(-1, 2))
        kernel = self.regular_conv.weight.permute(2, 3, 1, 0).reshape(TAPS * channels, -1)
        out = rows.view(height * width, TAPS * channels) @ kernel
        return out.view(1, height, width, -1).permute(0, 3, 1, 2)


def _taps(height: int, width: int) -> Tensor:
    """Where the taps of 3 x 3 kernels stand before they are moved: (height, width, 9, 2) (y, x)."""
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    around = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2))
    return (pixels[:, None] + around).view(height, width, TAPS, 2)


class _DescriptorHead(nn.Module):
    """Descriptors from places around a keypoint, which the features at the keypoint choose."""

    def __init__(self, dim: int, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self.offset_conv = nn.Sequential(
            nn.Conv2d(dim, 2 * positions, 3), nn.SELU(), nn.Conv2d(2 * positions, 2 * positions, 1)
        )
        self.sf_conv = nn.Conv2d(dim, dim, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.zeros(positions, dim, dim))

    def forward(self, encoding: Encoding, xy: Tensor) -> Tensor:
        count, dim = len(xy), self.sf_conv.out_channels
        window = _window(xy, encoding.size_wh)
        around = encoding.features(window.reshape(-1, 2)).view(count, 3, 3, dim)
        reach = max(encoding.size_wh) / REACH
        moves = self.offset_conv(around.permute(0, 3, 1, 2)).clamp(-reach, reach)
        moves = moves.view(count, 2, self.positions).transpose(1, 2)  # (x, y) of each place
        places = (xy[:, None] + moves).reshape(-1, 2)
        read = encoding.features_between(places) @ self.sf_conv.weight[:, :, 0, 0].T
        joined = F.selu(read).view(count, -1) @ self.agg_weights.reshape(-1, dim)
        return F.normalize(joined, dim=1)


def _window(xy: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """The 3 x 3 pixels around keypoints, (N, 3, 3, 2) (x, y).

    At the right and lower edges as published: the window never holds the last column or row.
    """
    side = 3
    last = xy.new_tensor(size_wh).long() - 1
    corner = (xy.floor().long() - 1).clamp(min=0)
    corner = torch.minimum(corner, (last - side).clamp(min=0))
    steps = torch.arange(side, device=xy.device)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)  # (3, 3, 2) (x, y)
    return torch.minimum(corner[:, None, None] + offsets, last)
