"""What `train_keypoints.py` minimises: maps of two views of a picture that should agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Losses", "at_pixels", "carried", "losses_of"]

PATCH_PX = 12  # of R2D2's losses: about one keypoint is asked of each
NMS_PX = 7  # side of the window in which a maximum is alone
LEAST_SCORE = 0.2
MOST = 500  # maxima of a crop
EDGE_PX = 6
NEAR_PX, SAME_PX = 4.0, 2.0  # two maxima that are pulled together; that count as one
_LINE = torch.arange(-2, 3)
STEPS = torch.cartesian_prod(_LINE, _LINE).flip(1)  # (25, 2) (x, y)


@dataclass(frozen=True)
class Losses:
    """alike, peaked: the maps of both views are the same, and have peaks (Revaud et al., R2D2).
    angle: it turns with the picture, 0 to 2.
    exact: distance of maxima that are the same point, in pixels along x and y together.
    ranked: cross-entropy of the second map, which tells the maxima that the other view has too.
    found: share of maxima that the other view has; for the log.
    """

    alike: Tensor
    peaked: Tensor
    angle: Tensor
    exact: Tensor
    ranked: Tensor
    found: float

    @property
    def total(self) -> Tensor:
        steering = 0.25 * self.peaked + 0.2 * self.angle + 0.1 * self.exact + 0.3 * self.ranked
        return self.alike + steering


@dataclass(frozen=True)
class _Maxima:
    """Of one map: whole pixels (N, 2) (x, y), and between pixels, where gradients flow."""

    pixels: Tensor
    xy: Tensor


def carried(H: Tensor, xy: Tensor) -> Tensor:
    """Places (..., 2) of one picture in another; H is (3, 3)."""
    moved = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ H.T
    return moved[..., :2] / moved[..., 2:]


def at_pixels(maps: Tensor, xy: Tensor) -> Tensor:
    """(C, H, W) read at places (..., 2): (C, ...)."""
    size = torch.tensor([maps.shape[2] - 1, maps.shape[1] - 1])
    grid = (xy / size * 2 - 1).reshape(1, 1, -1, 2)
    read = F.grid_sample(maps[None], grid, align_corners=True)
    return read.reshape(len(maps), *xy.shape[:-1])


def losses_of(maps0: Tensor, maps1: Tensor, H_1_from_0: Tensor) -> Losses:
    """(B, 4, S, S) of `KeypointNetwork` for pictures and views of them; H is (B, 3, 3)."""
    side = maps0.shape[-1]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pixels = torch.stack([x, y], -1).float()
    scores0, scores1 = maps0[:, :1].sigmoid(), maps1[:, :1].sigmoid()
    there = torch.stack([carried(H, pixels) for H in H_1_from_0])
    inside = ((there > NEAR_PX) & (there < side - 1 - NEAR_PX)).all(-1)[:, None].float()
    warped = torch.stack([at_pixels(m, xy) for m, xy in zip(scores1, there)]) * inside
    angles = [_angle(*view) for view in zip(maps0, maps1, H_1_from_0)]
    points = [
        [_maxima(each, score[0]) for each, score in zip(maps[:, 0], scores.detach())]
        for maps, scores in ((maps0, scores0), (maps1, scores1))
    ]
    exact, ranked, found = [], [], []
    for mine, theirs, first, second, H in zip(*points, maps0, maps1, H_1_from_0):
        exact += _distances(mine, theirs, H, side)
        for own, other, maps, way in (
            (mine, theirs, first, H),
            (theirs, mine, second, torch.linalg.inv(H)),
        ):
            loss, share = _ranking(own, other, maps, way, side)
            ranked += loss
            found += share
    return Losses(
        _unlike(scores0 * inside, warped, inside),
        (_flatness(scores0) + _flatness(scores1)) / 2,
        torch.stack(angles).mean(),
        _mean(exact),
        _mean(ranked),
        sum(found) / max(len(found), 1),
    )


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean() if values else torch.zeros(())


def _unlike(scores: Tensor, warped: Tensor, inside: Tensor) -> Tensor:
    """One less the mean cosine of patches that lie inside both pictures."""
    patches = [F.unfold(values, PATCH_PX, stride=PATCH_PX // 2) for values in (scores, warped)]
    whole = F.unfold(inside, PATCH_PX, stride=PATCH_PX // 2).amin(1) > 0.5
    cosines = F.cosine_similarity(*patches, dim=1)
    return 1 - cosines[whole].mean() if whole.any() else torch.zeros(())


def _flatness(scores: Tensor) -> Tensor:
    """One less how far the maximum of a patch stands above its mean."""
    half = PATCH_PX // 2
    return 1 - (F.max_pool2d(scores, PATCH_PX, half) - F.avg_pool2d(scores, PATCH_PX, half)).mean()


def _angle(maps0: Tensor, maps1: Tensor, H: Tensor) -> Tensor:
    """One less the cosine between the direction in the view and that of the picture, carried over;
    where there are keypoints it counts more.
    """
    side = maps0.shape[-1]
    line = torch.arange(2, side, 4)
    xy = torch.cartesian_prod(line, line).flip(1).float()
    there = carried(H, xy)
    x, y = xy.long().T
    mine = F.normalize(maps0[2:, y, x], dim=0)
    along = [carried(H, xy + step) - carried(H, xy - step) for step in torch.eye(2) / 2]
    turned = F.normalize((along[0].T * mine[0] + along[1].T * mine[1]), dim=0)
    theirs = F.normalize(at_pixels(maps1[2:], there), dim=0)
    inside = ((there > NEAR_PX) & (there < side - 1 - NEAR_PX)).all(1)
    weights = (maps0[0, y, x].detach().sigmoid() + 0.05) * inside
    return ((1 - (turned * theirs).sum(0)) * weights).sum() / weights.sum().clamp(min=1e-6)


def _maxima(logits: Tensor, scores: Tensor) -> _Maxima:
    """The highest maxima of (S, S) scores; between pixels by the mass of the logits around."""
    top = scores == F.max_pool2d(scores[None], NMS_PX, 1, NMS_PX // 2)[0]
    inside = torch.zeros_like(top)
    inside[4:-4, 4:-4] = True
    pixels = (top & inside & (scores > LEAST_SCORE)).nonzero().flip(1)
    strongest = scores[pixels[:, 1], pixels[:, 0]].argsort(descending=True, stable=True)[:MOST]
    pixels = pixels[strongest]
    around = pixels[:, None] + STEPS
    mass = logits[around[..., 1], around[..., 0]].softmax(1)
    return _Maxima(pixels, pixels + mass @ STEPS.float())


def _seen(points: _Maxima, H: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where they lie in the other picture, and which of them lie well inside."""
    there = carried(H, points.xy)
    return there, ((there > EDGE_PX) & (there < side - 1 - EDGE_PX)).all(1)


def _distances(mine: _Maxima, theirs: _Maxima, H: Tensor, side: int) -> list[Tensor]:
    """The mean distance of maxima that are mutually nearest; nothing where there are none."""
    there, inside = _seen(mine, H, side)
    if not inside.any() or not len(theirs.xy):
        return []
    distances = torch.cdist(there[inside], theirs.xy)
    nearest, which = distances.min(1)
    mutual = (distances.argmin(0)[which] == torch.arange(len(which))) & (nearest < NEAR_PX)
    apart = (there[inside] - theirs.xy[which])[mutual].abs().sum(1).clamp(max=NEAR_PX)
    return [apart.mean()] if mutual.any() else []


def _ranking(
    mine: _Maxima, theirs: _Maxima, maps: Tensor, H: Tensor, side: int
) -> tuple[list[Tensor], list[float]]:
    """Cross-entropy of the second map, and the share found again; nothing where nothing is seen."""
    there, inside = _seen(mine, H, side)
    if not inside.any() or not len(theirs.xy):
        return [], []
    again = (torch.cdist(there[inside], theirs.xy).amin(1) < SAME_PX).detach().float()
    x, y = mine.pixels[inside].T
    loss = F.binary_cross_entropy_with_logits(maps[1, y, x], again)
    return [loss], [float(again.mean())]
