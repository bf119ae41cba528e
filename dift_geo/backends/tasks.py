"""Settings of the paper's two other tasks, semantic and temporal correspondence, as data.

What was published for Stable Diffusion and ADM: `eval_spair.py` and `eval_davis.py` of the DIFT
release with the flags of its README. Knows no model and cannot act.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dift_geo.backends.config import Dense, DiftConfig, Noise
from dift_geo.errors import InputError

__all__ = ["JOINTS", "PUBLISHED", "Propagation", "Rule", "TaskName", "published_for"]

TaskName = Literal["semantic", "video"]
Rule = Literal["dino", "walk"]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """How labels of earlier frames reach the next frame of a video.

    temperature: weights are exp(cosine / temperature).
    top_k: most similar cells, of all frames looked at, whose labels are averaged.
    frames: last frames looked at, beside the first.
    radius: cells up to so many rows and columns away count; 0 counts all.
    short_side: pixels of the frame's short side as the model sees it.
    multiple: of which the long side is the largest one that fits.
    rule: whose program decides what `radius` and `top_k` mean, see `matching/propagate.py`: `dino`
        is DINO's and DIFT's for masks; `walk` is videowalk's for joints, where the frames before
        the first one count as copies of it.
    """

    temperature: float = 0.1
    top_k: int = 5
    frames: int = 7
    radius: int = 12
    short_side: int = 480
    multiple: int = 32
    rule: Rule = "dino"

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}, expected a number above 0")
        least = {"top_k": 1, "frames": 0, "radius": 0, "short_side": 16, "multiple": 1}
        own = (self.top_k, self.frames, self.radius, self.short_side, self.multiple)
        for (name, low), value in zip(least.items(), own):
            if value < low:
                raise InputError(f"{name} is {value}, expected at least {low}")

    @property
    def side_multiple(self) -> int:
        """Of which both sides of what the model sees are multiples."""
        return math.gcd(self.short_side, self.multiple)


# joints of JHMDB: the flags with which DIFT's author ran videowalk's code (its issue 45)
JOINTS = Propagation(temperature=0.05, top_k=10, frames=7, radius=5, short_side=320, rule="walk")


def _square(side: int) -> Dense:
    return Dense(network_wh=(side, side), resize="pillow")


PUBLISHED: Mapping[tuple[str, TaskName], DiftConfig] = MappingProxyType(
    {
        ("sd", "semantic"): DiftConfig(
            reading=_square(768),
            t=261,
            layers=(1,),
            noise=Noise(ensemble=8, posterior=True),
            max_batch=8,
        ),
        ("adm", "semantic"): DiftConfig(
            reading=_square(512), t=101, layers=(4,), noise=Noise(ensemble=8), max_batch=8
        ),
        ("sd", "video"): DiftConfig(
            t=51, layers=(2,), noise=Noise(ensemble=8, posterior=True), max_batch=8
        ),
        ("adm", "video"): DiftConfig(t=51, layers=(7,), noise=Noise(ensemble=4), max_batch=4),
    }
)


def published_for(model: Literal["sd", "adm"], task: TaskName) -> DiftConfig:
    """The published settings of a task. Raises InputError for another task."""
    if (model, task) not in PUBLISHED:
        raise InputError(f"task is {task!r}, expected semantic or video")
    return PUBLISHED[model, task]
