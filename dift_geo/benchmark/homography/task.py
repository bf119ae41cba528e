"""The homography benchmark as a task: the pairs of a folder in HPatches layout under a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.homography.data import Benchmark, Pair, by_kind
from dift_geo.benchmark.homography.protocols import THRESHOLDS_PX, Protocol
from dift_geo.benchmark.homography.score import (
    Frame,
    PairScore,
    corners_of,
    faces_camera,
    fit,
    in_frame,
    score,
    strongest,
)
from dift_geo.benchmark.measures import Area, Average, Mean, Measure, NoAnswer, Ratio, Within
from dift_geo.benchmark.short_side import resize_to, short_side_wh
from dift_geo.benchmark.task import Curves, Layout, Photos, Row, Source, Task
from dift_geo.frames import from_colmap
from dift_geo.images import read_image
from dift_geo.report.plots import plot_matches
from dift_geo.types import Features, FeatureSource, MatchSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Homographies", "pair_frame"]

CURVES = (
    Curves(
        file="mma.png",
        metric="mma",
        limits=THRESHOLDS_PX,
        x="threshold, px",
        y="share of matches within it",
    ),
    Curves(
        file="accuracy.png",
        metric="acc",
        limits=THRESHOLDS_PX,
        x="threshold, px",
        y="share of pairs within it",
    ),
)
BARS = {"mma@3": "MMA at 3 px", "acc@3": "accuracy at 3 px"}


@dataclass(frozen=True)
class Homographies(Task[Pair, Features]):
    """Homographies between the images of planar sequences.

    benchmark: the pairs and their truth.
    protocol: how they are scored.
    seed: of RANSAC.
    """

    benchmark: Benchmark
    protocol: Protocol
    seed: int = 0

    @property
    def name(self) -> str:
        return self.protocol.name

    @property
    def source(self) -> str:
        return self.protocol.source

    @property
    def measures(self) -> Mapping[str, Measure]:
        return _measures(self.protocol)

    @property
    def layout(self) -> Layout:
        return Layout(
            title="Homography benchmark",
            note=_note(self.protocol),
            headline=self.protocol.headline,
            beside=("failed",),
            group="sequence",
            item="pair",
            row=("sequence", "index"),
            curves=CURVES,
            bars=BARS,
        )

    @property
    def photos(self) -> Photos:
        folder, names = self.benchmark.folder, tuple(self.benchmark.images)
        return Photos(folder, names, self.protocol.name, self.protocol.short_side)

    @property
    def problems(self) -> Sequence[str]:
        return self.benchmark.problems

    @property
    def excluded(self) -> Sequence[str]:
        return self.benchmark.excluded

    def items(self) -> Sequence[Pair]:
        return self.benchmark.pairs

    def images(self, item: Pair) -> tuple[str, str]:
        return item.name0, item.name1

    def pairs(self, item: Pair) -> Sequence[tuple[str, str]]:
        return [self.images(item)]

    def label(self, item: Pair) -> str:
        return f"{item.sequence}_1-{item.index}"

    def group(self, item: Pair) -> str:
        return item.sequence

    def groups(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return by_kind(names)

    def obstacle(self, item: Pair, features: Source[Features]) -> str | None:
        size_wh = features[item.name0].keypoints.size_wh
        if faces_camera(item.H_1_from_0, corners_of(size_wh, self.protocol.corners)):
            return None
        return (
            f"{item.sequence}: H_1_{item.index} carries a corner of image 1 behind the camera; "
            f"pair 1-{item.index} is left out"
        )

    def score(self, item: Pair, features: Source[Features], matches: MatchSource) -> Row:
        return _as_row(self.pair_score(item, features, matches))

    def pair_score(self, item: Pair, features: FeatureSource, matches: MatchSource) -> PairScore:
        """The score of a pair before it becomes a row."""
        frame, scores = pair_frame(item, features, matches, self.protocol)
        return score(
            frame,
            self.protocol,
            sequence=item.sequence,
            index=item.index,
            scores=scores,
            seed=self.seed,
        )

    def recipe(self) -> dict[str, object]:
        return {"protocol": asdict(self.protocol)}

    def variants(self) -> Sequence[Homographies]:
        """One per inlier threshold of the protocol's sweep; itself where it has none."""
        ransac = self.protocol.ransac
        thresholds = self.protocol.sweep_px or (ransac.max_error_px,)
        return [
            replace(
                self, protocol=replace(self.protocol, ransac=replace(ransac, max_error_px=limit))
            )
            for limit in thresholds
        ]

    @property
    def best_by(self) -> str:
        return "maa"

    def setting(self) -> dict[str, object]:
        return {"max_error_px": self.protocol.ransac.max_error_px}

    def best_first(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Smallest corner errors first; among failures, most correct matches first."""
        return sorted(rows, key=lambda row: (row.values["corner_px"], -row.values["correct@3"]))

    def draw(
        self,
        method: str,
        item: Pair,
        features: Source[Features],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """The matches as they were scored, those green that fit the estimate."""
        frame, _ = pair_frame(item, features, matches, self.protocol)
        found = fit(frame, self.protocol, self.seed)
        inliers = np.zeros(len(frame.xy0), bool) if found is None else found.inliers
        values = row.values
        title = (
            f"{method}, {item.sequence} 1-{item.index}: {values['matches']} matches, "
            f"{values['inliers']} inliers, {values['correct@3']} within 3 px of the truth, "
            f"corner error {values['corner_px']:.1f} px"
        )
        image0, image1 = (self._as_scored(name) for name in self.images(item))
        xy0, xy1 = frame.xy0, frame.xy1
        if self.protocol.corners == "edges":
            xy0, xy1 = from_colmap(xy0), from_colmap(xy1)
        plot_matches(image0, image1, xy0, xy1, inliers, title=title, axes=axes)

    def _as_scored(self, name: str) -> NDArray[np.uint8]:
        image = read_image(Path(self.benchmark.folder, name))
        short_side = self.protocol.short_side
        if short_side is None:
            return image
        return resize_to(image, short_side_wh((image.shape[1], image.shape[0]), short_side))


def pair_frame(
    pair: Pair, features: FeatureSource, matches: MatchSource, protocol: Protocol
) -> tuple[Frame, NDArray[np.float32]]:
    """The matches of a pair in the protocol's frame, no more than it takes, and their scores."""
    features0, features1 = features[pair.name0], features[pair.name1]
    found = matches[pair.name0, pair.name1]
    found = found[strongest(found.scores, protocol.max_matches)]
    xy0, xy1 = found.points(features0, features1)
    sizes = features0.keypoints.size_wh, features1.keypoints.size_wh
    return in_frame(protocol, xy0, xy1, pair.H_1_from_0, *sizes), found.scores


def _as_row(found: PairScore) -> Row:
    correct = {f"correct@{limit}": n for limit, n in zip(THRESHOLDS_PX, found.correct)}
    values = {
        "matches": found.matches,
        "inliers": found.inliers,
        **correct,
        "corner_px": found.corner_px,
        "dlt_corner_px": found.dlt_corner_px,
        "prec@1": found.precision[0],
        "prec@3": found.precision[1],
        "ransac_seconds": found.seconds,
    }
    return Row(found.sequence, str(found.index), values)


def _measures(protocol: Protocol) -> dict[str, Measure]:
    """The numbers of the tables, of the columns that `_as_row` writes."""
    found: dict[str, Measure] = {}
    found |= {f"acc@{limit}": Within("corner_px", limit) for limit in THRESHOLDS_PX}
    found |= {f"mma@{limit}": Ratio(f"correct@{limit}", "matches") for limit in THRESHOLDS_PX}
    found |= {f"correct@{limit}": Mean(f"correct@{limit}") for limit in THRESHOLDS_PX}
    found |= {"matches": Mean("matches"), "inliers": Mean("inliers")}
    found["failed"] = NoAnswer("corner_px")
    if protocol.extras:
        found |= {name: Mean(name, unit="share") for name in ("prec@1", "prec@3")}
    areas: dict[str, Measure] = {f"auc@{t}": Area("corner_px", t) for t in protocol.auc_px}
    found |= {**areas, "maa": Average(tuple(areas))}
    if protocol.extras:
        found |= {f"auc_dlt@{t}": Area("dlt_corner_px", t) for t in protocol.auc_px}
    return found


def _note(protocol: Protocol) -> str:
    """How homographies were estimated, in a few words."""
    sweep, ransac = protocol.sweep_px, protocol.ransac
    threshold = f"{ransac.max_error_px:g} px"
    if sweep:
        threshold = f"the best of {sweep[0]:g} to {sweep[-1]:g} px per method"
    return f"homographies by {ransac.estimator} at {threshold}"
