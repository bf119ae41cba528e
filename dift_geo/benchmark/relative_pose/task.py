"""Relative poses as a task: pairs of photos with known cameras under a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.measures import (
    Area,
    Average,
    Mean,
    Measure,
    NoAnswer,
    Pooled,
    Ratio,
    Within,
)
from dift_geo.benchmark.relative_pose.data import Choice, PosedPair, PosedPairs, View
from dift_geo.benchmark.relative_pose.protocols import AUC_DEG, LIMITS_DEG, Protocol
from dift_geo.benchmark.relative_pose.score import PairScore, fit, in_frame_of, score
from dift_geo.benchmark.task import Curves, Layout, Photos, Row, Source, Task
from dift_geo.images import read_image
from dift_geo.report.plots import plot_matches
from dift_geo.types import Features, FeatureSource, MatchSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RelativePoses", "measures", "points_of"]

FEW_SCENES = 12  # up to here each has a table of its own
TAKEN = frozenset(["all", "scenes", "pairs", "intervals"])  # names in results.json
LEAST_BASELINE = 1e-9
MOST_STRETCH = 0.02  # by which the sides of a photo may differ from those the intrinsics are for
CURVES = (
    Curves(
        file="accuracy.png",
        metric="acc",
        limits=LIMITS_DEG,
        x="threshold, degrees",
        y="share of pairs within it",
    ),
)
BARS = {"auc@5": "AUC to 5 degrees", "precision@3px": "precision at 3 px"}


@dataclass(frozen=True)
class RelativePoses(Task[PosedPair, Features]):
    """The pose of one camera seen from another.

    data: the pairs and their truth.
    protocol: how they are scored.
    choice: which pairs of the folder `data` holds, for the recipe.
    seed: of RANSAC.
    """

    data: PosedPairs
    protocol: Protocol
    choice: Choice = field(default_factory=Choice)
    seed: int = 0

    @property
    def name(self) -> str:
        return self.protocol.name

    @property
    def source(self) -> str:
        return self.protocol.source

    @property
    def measures(self) -> Mapping[str, Measure]:
        return measures()

    @property
    def layout(self) -> Layout:
        return Layout(
            title="Relative poses",
            note=f"{self.data.layout}; {_estimated(self.protocol)}",
            headline=self.protocol.headline,
            beside=("inlier_precision@3px", "inliers", "failed"),
            group="scene",
            item="pair",
            row=("scene", "pair"),
            curves=CURVES,
            bars=BARS,
            quoted=self.protocol.quoted,
            quoted_from=self.protocol.quoted_from,
        )

    @property
    def photos(self) -> Photos:
        return Photos(self.data.folder, tuple(self.data.images), self.protocol.name)

    @property
    def problems(self) -> Sequence[str]:
        return self.data.problems

    def items(self) -> Sequence[PosedPair]:
        return self.data.pairs

    def images(self, item: PosedPair) -> tuple[str, str]:
        return item.names

    def pairs(self, item: PosedPair) -> Sequence[tuple[str, str]]:
        return [item.names]

    def label(self, item: PosedPair) -> str:
        return f"{item.scene}_{self.data.label(item)}".replace("/", "-")

    def group(self, item: PosedPair) -> str:
        return item.scene

    def groups(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Each scene by itself, where they are few."""
        if not 1 < len(names) <= FEW_SCENES:
            return {}
        return {name: [name] for name in names if name not in TAKEN}

    def obstacle(self, item: PosedPair, features: Source[Features]) -> str | None:
        where = f"{item.scene}: {' and '.join(item.names)}"
        if item.baseline <= LEAST_BASELINE:
            return f"{where} were taken from one place, where no pose can be scored"
        for view in (item.view0, item.view1):
            size_wh = features[view.name].keypoints.size_wh
            if _stretch(view, size_wh) > MOST_STRETCH:
                return (
                    f"{where} are left out: {view.name} is {_size(size_wh)} and its "
                    f"intrinsics are for {_size(view.size_wh or size_wh)}"
                )
        return None

    def score(self, item: PosedPair, features: Source[Features], matches: MatchSource) -> Row:
        values = _values(self.pair_score(item, features, matches))
        return Row(item.scene, self.data.label(item), values)

    def pair_score(
        self, item: PosedPair, features: FeatureSource, matches: MatchSource
    ) -> PairScore:
        """The score of a pair before it becomes a row."""
        xy0, xy1 = points_of(item, features, matches)
        return score(item, xy0, xy1, self.protocol, seed=self.seed)

    def recipe(self) -> dict[str, object]:
        own = asdict(self.protocol)
        for words in ("quoted", "quoted_from"):
            own.pop(words)
        return {"protocol": own, "truth": self.data.layout, "pairs": self.choice.recipe()}

    def variants(self) -> Sequence[RelativePoses]:
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
        """Smallest errors first; among failures, most correct matches first."""
        return sorted(rows, key=lambda row: (row.values["pose_deg"], -row.values["correct@3px"]))

    def draw(
        self,
        method: str,
        item: PosedPair,
        features: Source[Features],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """The matches, those green that fit the estimate."""
        framed0, framed1 = points_of(item, features, matches)
        found = fit(item, framed0, framed1, self.protocol, self.seed)
        inliers = np.zeros(len(framed0), bool) if found is None else found.inliers
        values = row.values
        title = (
            f"{method}, {item.scene}: {values['matches']} matches, {values['inliers']} inliers, "
            f"{values['correct@3px']} within 3 px of the true lines, "
            f"pose error {values['pose_deg']:.1f} degrees"
        )
        name0, name1 = item.names
        xy0, xy1 = matches[name0, name1].points(features[name0], features[name1])
        image0, image1 = (read_image(Path(self.data.folder, name)) for name in item.names)
        plot_matches(image0, image1, xy0, xy1, inliers, title=title, axes=axes)


def points_of(
    pair: PosedPair, features: FeatureSource, matches: MatchSource
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matched pixels of a pair, each in the frame of its intrinsics."""
    features0, features1 = features[pair.view0.name], features[pair.view1.name]
    xy0, xy1 = matches[pair.names].points(features0, features1)
    return (
        in_frame_of(pair.view0, xy0, features0.keypoints.size_wh),
        in_frame_of(pair.view1, xy1, features1.keypoints.size_wh),
    )


def measures() -> dict[str, Measure]:
    """The numbers of the tables, of the columns of a row."""
    areas: dict[str, Measure] = {f"auc@{limit}": Area("pose_deg", limit) for limit in AUC_DEG}
    shares: dict[str, Measure] = {f"acc@{limit}": Within("pose_deg", limit) for limit in LIMITS_DEG}
    return {
        **areas,
        "maa": Average(("auc@5", "auc@10", "auc@20")),
        **shares,
        "maa@10": Average(tuple(f"acc@{limit}" for limit in range(1, 11))),
        "precision@3px": Ratio("correct@3px", "matches"),
        "inlier_precision@3px": Ratio("correct_inliers@3px", "inliers"),
        "purity@3px": Pooled("correct_inliers@3px", "inliers"),
        "matches": Mean("matches"),
        "correct@3px": Mean("correct@3px"),
        "inliers": Mean("inliers"),
        "failed": NoAnswer("pose_deg"),
    }


def _values(found: PairScore) -> dict[str, float]:
    return {
        "matches": found.matches,
        "inliers": found.inliers,
        "correct@3px": found.correct,
        "correct_inliers@3px": found.correct_inliers,
        "rotation_deg": found.rotation_deg,
        "translation_deg": found.translation_deg,
        "pose_deg": found.pose_deg,
        "ransac_seconds": found.seconds,
    }


def _estimated(protocol: Protocol) -> str:
    """How poses were estimated, in a few words."""
    sweep, ransac = protocol.sweep_px, protocol.ransac
    threshold = f"{ransac.max_error_px:g} px"
    if sweep:
        threshold = f"the best of {sweep[0]:g} to {sweep[-1]:g} px per method"
    return f"essential matrices by {ransac.estimator} at {threshold}"


def _stretch(view: View, size_wh: tuple[int, int]) -> float:
    """By how much a photo is wider or narrower than the one that the intrinsics are for."""
    if view.size_wh is None:
        return 0.0
    factor = np.divide(view.size_wh, size_wh)
    return float(abs(factor[0] / factor[1] - 1))


def _size(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]} x {size_wh[1]}"
