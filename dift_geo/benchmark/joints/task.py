"""Joints of people in videos as a task: JHMDB, scored as videowalk's `eval_pck.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.joints.data import JOINTS, Clip, Clips
from dift_geo.benchmark.joints.score import joint_errors
from dift_geo.benchmark.measures import MeanOfKinds, Measure, Pooled
from dift_geo.benchmark.task import Layout, Photos, Row, Source, Task
from dift_geo.images import read_image
from dift_geo.types import MatchSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ALPHAS", "QUOTED", "VideoJoints"]

Item = tuple[Clip, int]
Points = NDArray[np.float64]
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
QUOTED: Mapping[str, Mapping[str, float]] = {
    "CRW, its paper": {"pck@0.1": 0.593, "pck@0.2": 0.849},
    "CRW, its code and weights run by a reader, radius 12": {"pck@0.1": 0.5762, "pck@0.2": 0.7959},
    "CRW, its code and weights run by DIFT's author, radius 5": {
        "pck@0.1": 0.5342,
        "pck@0.2": 0.7557,
        "pck@0.3": 0.8422,
        "pck@0.4": 0.8901,
        "pck@0.5": 0.9220,
    },
}


@dataclass(frozen=True)
class VideoJoints(Task[Item, Points]):
    """Every joint of every clip; those of the first frame are given.

    data: the clips.
    seed: of the resampling.
    """

    data: Clips
    seed: int = 0

    @property
    def name(self) -> str:
        return "jhmdb"

    @property
    def source(self) -> str:
        return (
            "JHMDB (Jhuang et al. 2013), joints of the first frame carried through a clip: a joint "
            "is right within a share of 0.6 of the diagonal of the box around the frame's true "
            "joints, the mean over the 15 joints of the share of frames, as videowalk's eval_pck.py"
        )

    @property
    def measures(self) -> Mapping[str, Measure]:
        found: dict[str, Measure] = {
            f"pck@{alpha:g}": MeanOfKinds(f"right@{alpha:g}", "points") for alpha in ALPHAS
        }
        return {**found, "lost": Pooled("lost", "frames")}

    @property
    def layout(self) -> Layout:
        return Layout(
            title="Video joints",
            note="first frame left out; joints that a method lost count nowhere but in `lost`",
            headline=("pck@0.1", "pck@0.2"),
            beside=("pck@0.3", "pck@0.4", "pck@0.5", "lost"),
            group="clip",
            item="joint",
            row=("clip", "joint"),
            kind="kind",
            quoted=QUOTED,
            quoted_from="issues 10 and 45 of videowalk; of the 268 clips of the first split",
        )

    @property
    def photos(self) -> Photos:
        names = tuple(name for clip in self.data.clips for name in clip.frames)
        return Photos(self.data.folder, names, self.name)

    @property
    def problems(self) -> Sequence[str]:
        return self.data.problems

    def items(self) -> Sequence[Item]:
        return [(clip, number) for clip in self.data.clips for number in range(len(JOINTS))]

    def images(self, item: Item) -> Sequence[str]:
        return item[0].frames[1:]

    def label(self, item: Item) -> str:
        return f"{item[0].name}_{JOINTS[item[1]]}".replace("/", "-").replace(" ", "-")

    def group(self, item: Item) -> str:
        return item[0].name

    def score(self, item: Item, features: Source[Points], matches: MatchSource) -> Row:
        clip, joint = item
        found = np.stack([features[name] for name in clip.frames[1:]])
        errors = joint_errors(found, clip.xy[1:])[:, joint]
        kept = errors[~np.isnan(errors)]
        values = {"frames": len(errors), "points": len(kept), "lost": len(errors) - len(kept)}
        values |= {f"right@{alpha:g}": int((kept <= alpha).sum()) for alpha in ALPHAS}
        return Row(clip.name, JOINTS[joint], values, kind=JOINTS[joint])

    def recipe(self) -> dict[str, object]:
        return {"protocol": self.name}

    def best_first(self, rows: Sequence[Row]) -> Sequence[Row]:
        return sorted(rows, key=lambda row: -row.values["right@0.1"] / row.values["frames"])

    def draw(
        self,
        method: str,
        item: Item,
        features: Source[Points],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """The joint's way through the clip over the last frame: true green, found red."""
        clip, joint = item
        found = np.stack([features[name] for name in clip.frames[1:]])[:, joint]
        axes.imshow(read_image(self.data.folder / clip.frames[-1]))
        axes.plot(*clip.xy[1:, joint].T, "o-", color="lime", markersize=2, linewidth=1)
        axes.plot(*found.T, "o-", color="red", markersize=2, linewidth=1)
        axes.set_axis_off()
        right, frames = row.values["right@0.1"], row.values["frames"]
        axes.set_title(f"{method}, {JOINTS[joint]}: {right:g} of {frames:g} frames within 0.1")
