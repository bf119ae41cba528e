"""Objects of videos as a task: masks of DAVIS-2017, scored as its semi-supervised benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.measures import Average, Mean, Measure
from dift_geo.benchmark.task import Layout, Photos, Row, Source, Task
from dift_geo.benchmark.video.data import Sequence, Sequences
from dift_geo.benchmark.video.score import boundary_f, region_j
from dift_geo.errors import InputError
from dift_geo.images import read_image
from dift_geo.types import MatchSource
from dift_geo.video.masks import read_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["QUOTED", "VideoObjects"]

Item = tuple[Sequence, int]
Mask = NDArray[np.uint8]
RECALLED = 0.5  # a frame above it counts for the recall
QUARTERS = 4  # decay is the first quarter's mean less the last one's
QUOTED: Mapping[str, Mapping[str, float]] = {
    "DINO ViT-B/8": {"J&F": 0.714, "J": 0.679, "F": 0.749},
    "DINO ViT-S/8": {"J&F": 0.699, "J": 0.666, "F": 0.731},
    "DIFT_adm": {"J&F": 0.757},
    "STM, trained on videos": {"J&F": 0.818, "J": 0.792, "F": 0.843},
}


@dataclass(frozen=True)
class VideoObjects(Task[Item, Mask]):
    """Every object of every sequence; the first frame's mask is given.

    data: the sequences.
    seed: of the resampling.
    """

    data: Sequences
    seed: int = 0

    @property
    def name(self) -> str:
        return "davis2017"

    @property
    def source(self) -> str:
        return (
            "DAVIS-2017, semi-supervised (Pont-Tuset et al. 2017): region similarity J and contour "
            "accuracy F of each object, as davis2017-evaluation; first and last frame left out"
        )

    @property
    def measures(self) -> Mapping[str, Measure]:
        return {
            "J": Mean("J", unit="share"),
            "F": Mean("F", unit="share"),
            "J&F": Average(("J", "F")),
            **{
                f"{way}_{which}": Mean(f"{way}_{which}", unit="share")
                for way in ("J", "F")
                for which in ("recall", "decay")
            },
        }

    @property
    def layout(self) -> Layout:
        return Layout(
            title="Video objects",
            note="means over objects of means over frames; recall is the share of frames above "
            "0.5, decay what the last quarter has less than the first",
            headline=("J&F", "J", "F"),
            beside=("J_recall", "J_decay", "F_recall", "F_decay"),
            item="object",
            row=("sequence", "object"),
            quoted=QUOTED,
            quoted_from="the DINO paper, and notes on TED for DIFT; of all 30 sequences",
        )

    @property
    def photos(self) -> Photos:
        names = tuple(name for sequence in self.data.sequences for name in sequence.frames)
        return Photos(self.data.folder, names, self.name)

    @property
    def problems(self) -> Listed[str]:
        return self.data.problems

    def items(self) -> Listed[Item]:
        found: list[Item] = []
        for sequence in self.data.sequences:
            found += [(sequence, number) for number in sequence.objects]
        return found

    def images(self, item: Item) -> Listed[str]:
        return item[0].frames[1:-1]

    def label(self, item: Item) -> str:
        return f"{item[0].name}_{item[1]}"

    def group(self, item: Item) -> str:
        return item[0].name

    def score(self, item: Item, features: Source[Mask], matches: MatchSource) -> Row:
        sequence, number = item
        pairs = list(zip(sequence.frames, sequence.masks))[1:-1]
        j, f = [], []
        for name, file in pairs:
            truth, found = read_mask(file), features[name]
            if truth.shape != found.shape:
                raise InputError(
                    f"the mask of {name} is {found.shape[1]} x {found.shape[0]}, "
                    f"expected {truth.shape[1]} x {truth.shape[0]} as {file}"
                )
            j.append(region_j(found == number, truth == number))
            f.append(boundary_f(found == number, truth == number))
        values = {}
        for way, own in (("J", np.array(j)), ("F", np.array(f))):
            values[way] = float(own.mean())
            values[f"{way}_recall"] = float((own > RECALLED).mean())
            values[f"{way}_decay"] = _decay(own)
        return Row(sequence.name, str(number), values)

    def recipe(self) -> dict[str, object]:
        return {"protocol": self.name}

    def best_first(self, rows: Listed[Row]) -> Listed[Row]:
        return sorted(rows, key=lambda row: -row.values["J"])

    def draw(
        self,
        method: str,
        item: Item,
        features: Source[Mask],
        matches: MatchSource,
        row: Row,
        axes: Axes,
    ) -> None:
        """The last frame that counts: right green, missed red, wrong blue."""
        sequence, number = item
        name, file = sequence.frames[-2], sequence.masks[-2]
        image = read_image(self.data.folder / name)
        truth, found = read_mask(file) == number, features[name] == number
        for where, colour in (
            (found & truth, (0, 200, 0)),
            (truth & ~found, (220, 0, 0)),
            (found & ~truth, (0, 60, 255)),
        ):
            image[where] = image[where] // 2 + np.array(colour, np.uint8) // 2
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title(f"{method}, {sequence.name}, object {number}: J {row.values['J']:.3f}")


def _decay(values: NDArray[np.float64]) -> float:
    """As davis2017-evaluation: the frames in four parts that share their ends."""
    ends = np.round(np.linspace(1, len(values), QUARTERS + 1) + 1e-10).astype(int) - 1
    first, last = values[ends[0] : ends[1] + 1], values[ends[-2] : ends[-1] + 1]
    return float(first.mean() - last.mean())
