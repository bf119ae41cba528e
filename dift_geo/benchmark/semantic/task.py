"""Semantic correspondence as a task: keypoints of a source object carried to a target by maps of
features, and the share of them that comes near enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.benchmark.measures import MeanOfKinds, Measure, Pooled, Ratio
from dift_geo.benchmark.semantic.data import KeypointPair, KeypointPairs
from dift_geo.benchmark.semantic.methods import Seen
from dift_geo.benchmark.semantic.protocols import ALPHAS, Protocol
from dift_geo.benchmark.task import Curves, Layout, Photos, Row, Source, Task
from dift_geo.errors import InputError
from dift_geo.images import read_image
from dift_geo.matching.transfer import SoftArgmax, best_pixels
from dift_geo.report.plots import plot_matches
from dift_geo.types import MatchSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KeypointTransfer", "carried"]

AGGREGATES = ("image", "point", "category")
CURVES = (
    Curves(
        file="pck.png",
        metric="pck",
        limits=ALPHAS,
        x="threshold, as a share",
        y="share of keypoints within it",
        tail="/point",
    ),
)
OVER = {
    "box": "the longer side of the target's box",
    "keypoints": "the longer side of the box around the target's keypoints",
    "image": "the longer side of the target image",
}


@dataclass(frozen=True)
class KeypointTransfer(Task[KeypointPair, Seen]):
    """Where the keypoints of one photo are in another of the same category.

    data: the pairs and their truth.
    protocol: how they are scored.
    soft: the weighted mean around the best pixel; None takes that pixel, as DIFT does.
    seed: of the resampling.
    """

    data: KeypointPairs
    protocol: Protocol
    soft: SoftArgmax | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        return self.protocol.name

    @property
    def source(self) -> str:
        return self.protocol.source

    @property
    def measures(self) -> Mapping[str, Measure]:
        found: dict[str, Measure] = {}
        for alpha in ALPHAS:
            right = f"right@{alpha:g}"
            found[f"pck@{alpha:g}/image"] = Ratio(right, "points")
            found[f"pck@{alpha:g}/point"] = Pooled(right, "points")
            found[f"pck@{alpha:g}/category"] = MeanOfKinds(right, "points")
        return found

    @property
    def layout(self) -> Layout:
        best = "best pixel by cosine" if self.soft is None else "window soft-argmax of cosines"
        return Layout(
            title="Semantic correspondence",
            note=f"{self.data.layout}; {best}; thresholds are shares of {OVER[self.protocol.over]}"
            "; /image is the mean over pairs, /point counts every keypoint once, /category is the "
            "mean over categories of their /point",
            headline=tuple(f"pck@0.1/{own}" for own in AGGREGATES),
            beside=tuple(f"pck@{alpha:g}/{a}" for alpha in (0.01, 0.05, 0.15) for a in AGGREGATES),
            group="pair",
            item="pair",
            row=("pair", "target"),
            kind="category",
            by_group=False,
            curves=CURVES,
            quoted=self.protocol.quoted,
            quoted_from=self.protocol.quoted_from,
        )

    @property
    def photos(self) -> Photos:
        return Photos(self.data.folder, tuple(self.data.images), self.protocol.name)

    @property
    def problems(self) -> Sequence[str]:
        return self.data.problems

    def items(self) -> Sequence[KeypointPair]:
        return self.data.pairs

    def images(self, item: KeypointPair) -> tuple[str, str]:
        return item.names

    def label(self, item: KeypointPair) -> str:
        return self.group(item).replace("/", "-")

    def group(self, item: KeypointPair) -> str:
        return f"{item.category}/{item.label}"

    def groups(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """A table for each category, where there are several."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(name.partition("/")[0], []).append(name)
        return found if len(found) > 1 else {}

    def obstacle(self, item: KeypointPair, features: Source[Seen]) -> str | None:
        if not len(item.xy0):
            return f"{self.group(item)} has no keypoint that both images show"
        if self.protocol.over == "box" and item.box1 is None:
            return f"{self.group(item)} has no box, which {self.name} thresholds are shares of"
        if not self.side_px(item, features[item.names[1]].size_wh) > 0:
            return f"{self.group(item)} has a target of no extent"
        return None

    def score(self, item: KeypointPair, features: Source[Seen], matches: MatchSource) -> Row:
        seen0, seen1 = (features[name] for name in item.names)
        found = carried(item.xy0, seen0, seen1, self.soft)
        error = np.linalg.norm(found - item.xy1, axis=1) / self.side_px(item, seen1.size_wh)
        values = {"points": len(error)}
        values |= {f"right@{alpha:g}": int((error <= alpha).sum()) for alpha in ALPHAS}
        return Row(self.group(item), item.names[1], values, kind=item.category)

    def prompts(self) -> Mapping[str, str]:
        """What models that take text are told of each image, by the category of its object."""
        return {
            name: self.protocol.prompt.format(self.data.said[pair.category])
            for pair in self.data.pairs
            for name in pair.names
        }

    def side_px(self, item: KeypointPair, size1_wh: tuple[int, int]) -> float:
        """The length of which thresholds are shares, in pixels of the target."""
        if self.protocol.over == "image":
            return float(max(size1_wh))
        if self.protocol.over == "keypoints":
            return float(np.ptp(item.xy1, axis=0).max())
        if item.box1 is None:
            raise InputError(f"{self.group(item)} has no box; use another threshold")
        x0, y0, x1, y1 = item.box1
        return float(max(x1 - x0, y1 - y0))

    def recipe(self) -> dict[str, object]:
        own = asdict(self.protocol)
        for words in ("quoted", "quoted_from"):
            own.pop(words)
        soft = None if self.soft is None else asdict(self.soft)
        return {"protocol": own, "data": self.data.layout, "soft_argmax": soft}

    def best_first(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The largest share of right keypoints first; among equals, those of finer thresholds."""

        def worth(row: Row) -> tuple[float, ...]:
            return tuple(row.values[f"right@{a:g}"] / row.values["points"] for a in (0.1, *ALPHAS))

        return sorted(rows, key=worth, reverse=True)

    def draw(
        self,
        method: str,
        item: KeypointPair,
        features: Source[Seen],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """The keypoints and where they were carried, green where within a tenth."""
        seen0, seen1 = (features[name] for name in item.names)
        found = carried(item.xy0, seen0, seen1, self.soft)
        error = np.linalg.norm(found - item.xy1, axis=1) / self.side_px(item, seen1.size_wh)
        right, points = (row.values[name] for name in ("right@0.1", "points"))
        title = f"{method}, {self.group(item)}: {right:g} of {points:g} keypoints within 0.1"
        image0, image1 = (read_image(Path(self.data.folder, name)) for name in item.names)
        plot_matches(image0, image1, item.xy0, found, error <= 0.1, title=title, axes=axes)


def carried(
    xy0: NDArray[np.float64], seen0: Seen, seen1: Seen, soft: SoftArgmax | None = None
) -> NDArray[np.float64]:
    """(K, 2): where points of one image are in the other; at the same relative place where nothing
    was looked at.
    """
    if seen0.map is None or seen1.map is None:
        return xy0 * np.divide(seen1.size_wh, seen0.size_wh)
    with torch.inference_mode():
        rows = seen0.map.sample(torch.from_numpy(xy0).float())
        return best_pixels(rows, seen1.map.values, seen1.size_wh, soft).double().numpy()
