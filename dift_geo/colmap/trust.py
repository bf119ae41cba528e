"""Whether a model can be relied on: what several runs, matches never shown and the covariance say.

A model can have all photos registered and a small reprojection error and be wrong by tens of
degrees; this is what tells. The limits were set on models of known truth, `pipelines/trust.py`;
they are no proof. Runs no mapper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dift_geo.colmap.agreement import Poses, disagreements_deg, quantile_deg
from dift_geo.colmap.holdout import HeldOut, Witness
from dift_geo.colmap.mapping import cam_from_world
from dift_geo.colmap.uncertainty import Uncertainty, camera_uncertainties
from dift_geo.types import Pair

if TYPE_CHECKING:
    import pycolmap

__all__ = ["Evidence", "Level", "Trust", "gather", "judge"]

Level = Literal["high", "medium", "low"]

AGREE_SHARE = 0.9
# (high needs, low is beyond), of `pipelines/trust.py`
RUNS_AGREE_DEG = (1.5, 3.0)
HELD_OUT = (0.9, 0.8)
REGISTERED = (0.8, 0.5)
CONTRADICTING = (0.15, 0.3)
FOCAL = (0.1, 0.3)
LEAST_HELD_OUT = 50  # matches, for a share that says anything
# photos, where focal lengths of several cameras are unknown: fewer agree on wrong ones, too
LEAST_PHOTOS = 6
# of an image or a pair by itself
WEAK_DEG, WEAK_POINTS, CONTRADICTS, TELLING = 2.0, 30, 0.5, 4


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a model.

    images: that there are.
    registered: those that the model has.
    free_cameras: of the model, those whose focal length nobody gave.
    runs: of the mapper that were compared, this one included.
    runs_agree_deg: the difference to the middle one of the other runs that nine of ten pairs of
        images stay below, in degrees; None with one run.
    held_out: matches that the mapper was not shown, of pairs that the model has.
    held_out_within_2px: the share of these within 2 px of the model's epipolar geometry.
    contradicting_pairs: verified pairs of whose withheld matches the model explains fewer than
        half.
    contradicting: their share of the verified pairs that can tell.
    rotation_deg, centre_deg, focal: one standard deviation, of the worst of nine in ten images;
        None where the covariance could not be had.
    weak_images: registered ones that runs place differently or few points hold, and those that only
        some runs have.
    """

    images: int
    registered: int
    free_cameras: int
    runs: int
    runs_agree_deg: float | None
    held_out: int
    held_out_within_2px: float | None
    contradicting_pairs: list[Pair]
    contradicting: float
    rotation_deg: float | None
    centre_deg: float | None
    focal: float | None
    weak_images: list[str]


@dataclass(frozen=True)
class Trust:
    """One word, why, and the evidence behind it."""

    level: Level
    reasons: list[str]
    evidence: Evidence

    def plain(self) -> dict[str, object]:
        """As `summary.json` has it."""
        return {"level": self.level, "reasons": self.reasons, **_rounded(vars(self.evidence))}


def gather(
    model: pycolmap.Reconstruction,
    held: HeldOut,
    others: Sequence[Poses],
    images: int,
    own: Poses | None = None,
) -> Evidence:
    """Collect the evidence.

    model: the one in question.
    held: matches that its run was not shown.
    others: poses of other runs.
    images: that there are, registered or not.
    own: poses that are compared with those of the others; None takes the model's.
    """
    own = cam_from_world(model) if own is None else own
    apart = disagreements_deg(own, others)
    said = held.ask(model)
    total = sum(witness.total for witness in said.values())
    telling = {pair: witness for pair, witness in said.items() if witness.total >= TELLING}
    against = [pair for pair, witness in telling.items() if _contradicts(witness)]
    spread = list(camera_uncertainties(model).values())
    return Evidence(
        images=images,
        registered=len(own),
        free_cameras=sum(not camera.has_prior_focal_length for camera in model.cameras.values()),
        runs=1 + len(others),
        runs_agree_deg=quantile_deg(apart, AGREE_SHARE),
        held_out=total,
        held_out_within_2px=_share(sum(w.within for w in said.values()), total),
        contradicting_pairs=sorted(against),
        contradicting=len(against) / max(len(telling), 1),
        rotation_deg=_worst(spread, "rotation_deg"),
        centre_deg=_worst(spread, "centre_deg"),
        focal=_worst(spread, "focal"),
        weak_images=sorted(_weak(model, own, apart, others)),
    )


def judge(evidence: Evidence) -> Trust:
    """The word and its reasons."""
    low, medium = list(_doubts(evidence, 1)), list(_doubts(evidence, 0))
    if low:
        return Trust("low", low, evidence)
    if medium:
        return Trust("medium", medium, evidence)
    share = f"{100 * (evidence.held_out_within_2px or 0):.0f} %"
    reason = (
        f"{evidence.runs} runs agree within {evidence.runs_agree_deg:.2g} degrees, and the model "
        f"explains {share} of {evidence.held_out} matches it was not shown"
    )
    return Trust("high", [reason], evidence)


def _doubts(evidence: Evidence, limit: int) -> Iterator[str]:
    """What is not as it should be; limit: 0 for what `high` needs, 1 for what makes `low`."""
    apart, share = evidence.runs_agree_deg, evidence.held_out_within_2px
    if apart is None:
        if limit == 0:
            yield "no other run explains as much, so nothing bears it out"
    elif apart > RUNS_AGREE_DEG[limit]:
        yield f"runs with other seeds place cameras {apart:.2g} degrees apart"
    if share is None or evidence.held_out < LEAST_HELD_OUT:
        if limit == 0:
            yield f"{evidence.held_out} matches could be withheld, too few to tell"
    elif share < HELD_OUT[limit]:
        yield (
            f"the model explains {100 * share:.0f} % of {evidence.held_out} verified matches that "
            "it was not shown"
        )
    if evidence.registered < REGISTERED[limit] * evidence.images:
        yield f"{evidence.registered} of {evidence.images} images are registered"
    if limit == 0 and evidence.registered < LEAST_PHOTOS and evidence.free_cameras > 1:
        yield (
            f"{evidence.registered} photos say little about {evidence.free_cameras} unknown focal "
            f"lengths; {LEAST_PHOTOS} do, or --intrinsics, or --camera-mode single"
        )
    if evidence.focal is None:
        if limit == 0:
            yield "the uncertainty of its cameras cannot be computed"
    elif evidence.focal > FOCAL[limit]:
        yield f"focal lengths are uncertain by {100 * evidence.focal:.0f} %"
    if evidence.contradicting > CONTRADICTING[limit]:
        yield (
            f"{len(evidence.contradicting_pairs)} verified pairs contradict the model, such as "
            f"{' and '.join(evidence.contradicting_pairs[0])}"
        )


def _weak(
    model: pycolmap.Reconstruction,
    own: Poses,
    apart: Mapping[Pair, float],
    others: Sequence[Poses],
) -> Iterator[str]:
    points = {image.name: image.num_points3D for image in model.images.values()}
    for name in own:
        differences = [degrees for pair, degrees in apart.items() if name in pair]
        moved = bool(differences) and float(np.median(differences)) > WEAK_DEG
        missing = any(name not in other for other in others)
        if moved or missing or points[name] < WEAK_POINTS:
            yield name
    for name in set().union(*others) - own.keys():
        yield name


def _contradicts(witness: Witness) -> bool:
    return witness.within < CONTRADICTS * witness.total


def _share(part: int, total: int) -> float | None:
    return part / total if total else None


def _worst(spread: Sequence[Uncertainty], field: str) -> float | None:
    values = [float(vars(one)[field]) for one in spread]
    return float(np.quantile(values, AGREE_SHARE)) if values else None


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _rounded(fields: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: [list(pair) for pair in value] if name == "contradicting_pairs" else _short(value)
        for name, value in fields.items()
    }
