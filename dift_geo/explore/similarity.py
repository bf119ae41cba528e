"""One point of a photo against every place of others: cosine similarity, the best, is it mutual.

Photos are described on a grid once for each way of looking, and kept. Knows no pages and no
servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.config import ReadingName
from dift_geo.backends.contract import Backend
from dift_geo.backends.loader import load_backend
from dift_geo.dift.describer import Dift
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.errors import InputError
from dift_geo.frames import from_colmap, resized, to_colmap
from dift_geo.images import read_image, resize_longest
from dift_geo.types import Keypoints

__all__ = ["CELLS", "Explorer", "Found", "View"]

# cells along the longest side, by reading: patches cost more than one map of the image
CELLS: Mapping[str, int] = {"dense": 96, "oriented": 40, "upright": 40}
SCALES = 160  # of patches along the longest side, in the oriented reading
MUTUAL_CELLS = 1.5  # from the point that was asked for, on the way back


@dataclass(frozen=True, kw_only=True)
class View:
    """A way of looking.

    backend: as `load_backend` takes it.
    reading: dense, oriented or upright, as far as the backend has it. The oriented one takes every
        patch upright and of one scale, as a point that was clicked has neither.
    t: timestep; None is the backend's own.
    layer: decoder block; None is the backend's own.
    projected: through the projection that ships with the backend, where there is one and t and
        layer are its own.

    Raises InputError for another reading.
    """

    backend: str = "tiny"
    reading: ReadingName = "dense"
    t: int | None = None
    layer: int | None = None
    projected: bool = True

    def __post_init__(self) -> None:
        if self.reading not in CELLS:
            raise InputError(f"reading is {self.reading!r}, expected one of {', '.join(CELLS)}")


@dataclass(frozen=True)
class Found:
    """What one photo answers.

    heat: (h, w) cosine similarity of its cells.
    xy: (2,) the best place, as shares of its sides.
    score: cosine similarity of the best cell.
    mutual: whether the best place of the first photo for what lies there is the point again.
    """

    heat: NDArray[np.float32]
    xy: NDArray[np.float64]
    score: float
    mutual: bool


class Explorer:
    """Some photos, and what a model sees in them.

    paths: of two photos or more.
    size: longest side in pixels that the model sees.
    device: where it runs.

    Raises InputError for fewer than two, and what `read_image` raises.
    """

    def __init__(
        self, paths: Sequence[str | Path], *, size: int = 640, device: str = "cpu"
    ) -> None:
        if len(paths) < 2:
            raise InputError(
                f"got {len(paths)} photo, expected 2 or more to look from one to another"
            )
        self.images = [resize_longest(read_image(path), size) for path in paths]
        self._device = device
        self._backends: dict[str, Backend] = {}
        self._maps: dict[tuple[View, int], FeatureMap] = {}

    def look(self, view: View, image: int, xy: Sequence[float]) -> list[Found]:
        """What every photo answers to a point of one, itself included, in order.

        image: the row of the photo.
        xy: (2,) shares of its sides, 0 to 1.

        Raises InputError for no photo and no point of it, and for a layer that the model has not.
        """
        if not 0 <= image < len(self.images):
            raise InputError(f"image is {image}, expected 0 to {len(self.images) - 1}")
        place = np.asarray(xy, np.float64)
        if place.shape != (2,) or not ((place >= 0) & (place <= 1)).all():
            raise InputError(f"the point is {xy}, expected two numbers from 0 to 1")
        asked = self._map(view, image)
        cell = _size_wh(asked) * place
        row = _row_at(asked, cell)
        return [self._answer(self._map(view, other), row, asked, cell) for other in self._all()]

    def projected(self, view: View) -> bool:
        """Whether a projection is applied: it is asked for, ships, and fits."""
        return self._dift(view).projection is not None

    def _all(self) -> range:
        return range(len(self.images))

    def _answer(
        self, there: FeatureMap, row: Tensor, asked: FeatureMap, cell: NDArray[np.float64]
    ) -> Found:
        heat = torch.einsum("d,dhw->hw", row, there.values)
        best = _peak(heat)
        back = torch.einsum("d,dhw->hw", _row_at(there, best), asked.values)
        mutual = bool(np.linalg.norm(_peak(back) - cell) <= MUTUAL_CELLS)
        shares = best / _size_wh(there)
        return Found(heat.cpu().numpy(), shares, float(heat.max()), mutual)

    def _map(self, view: View, image: int) -> FeatureMap:
        key = view, image
        if key not in self._maps:
            picture = self.images[image]
            h, w = picture.shape[:2]
            step = max(h, w) / CELLS[view.reading]
            rows, columns = max(1, round(h / step)), max(1, round(w / step))
            cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
            xy = resized(cells, np.array([w / columns, h / rows])).astype(np.float32)
            one = np.ones(len(xy), np.float32)
            keypoints = Keypoints(xy, one, (w, h), one * max(h, w) / SCALES, one * 0)
            found = self._dift(view).describe(picture, keypoints)
            values = torch.from_numpy(found).T.reshape(-1, rows, columns)
            self._maps[key] = FeatureMap(values, (columns, rows))
        return self._maps[key]

    def _dift(self, view: View) -> Dift:
        if view.backend not in self._backends:
            self._backends[view.backend] = load_backend(view.backend, device=self._device)
        backend = self._backends[view.backend]
        config = backend.settings(view.reading, "default")
        own = view.t in (None, config.t) and (view.layer,) in ((None,), config.layers)
        dift = Dift(backend, config=config, projection="auto" if view.projected else None)
        if own:
            return dift
        layers = config.layers if view.layer is None else (view.layer,)
        return dift.with_config(t=config.t if view.t is None else view.t, layers=layers)


def _size_wh(cells: FeatureMap) -> NDArray[np.float64]:
    return np.array(cells.size_wh, np.float64)


def _row_at(cells: FeatureMap, place: NDArray[np.float64]) -> Tensor:
    """The unit row at a place in cells, whose first one reaches from 0 to 1."""
    centre = torch.from_numpy(from_colmap(place))[None].to(cells.values)
    return F.normalize(cells.sample(centre))[0]


def _peak(heat: Tensor) -> NDArray[np.float64]:
    """(x, y) in cells: the highest, moved to the top of the parabola through its neighbours."""
    h, w = heat.shape
    y, x = divmod(int(heat.argmax()), w)
    place = []
    for at, size, line in ((x, w, heat[y]), (y, h, heat[:, x])):
        moved = float(at)
        if 0 < at < size - 1:
            left, top, right = (float(line[at + i]) for i in (-1, 0, 1))
            bend = left - 2 * top + right
            moved += (left - right) / bend / 2 if bend < 0 else 0.0
        place.append(moved)
    return to_colmap(np.array(place))
