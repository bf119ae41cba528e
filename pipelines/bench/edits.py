"""Edits between photos of different objects: how often one is drawn, and how many of its pixels
agree on where it lies.

    python pipelines/bench/edits.py SPair-71k/ --protocol spair71k
    python pipelines/bench/edits.py PF-WILLOW/ --protocol pf-willow --pairs 100 --backend tiny

An edit is the middle of the box around the keypoints of the first photo, two fifths of each side.
As nothing is known of where it should lie, what is counted says what chance does where a backend
finds nothing, and how sure it is of itself where it finds something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.run import open_keypoints
from dift_geo.benchmark.semantic.methods import MapMethod
from dift_geo.edit import LEAST_SHARE, carry_edit
from dift_geo.errors import NoAnswerError
from dift_geo.mapper import MapOptions

MIDDLE = 0.4


def middle(xy: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 4): a white block in the middle of the box around points."""
    layer = np.zeros((size_wh[1], size_wh[0], 4), np.uint8)
    centre, half = (xy.min(0) + xy.max(0)) / 2, MIDDLE / 2 * np.ptp(xy, axis=0)
    x0, y0 = np.maximum(0, centre - half).astype(int)
    x1, y1 = (centre + half).astype(int) + 1
    layer[y0:y1, x0:x1] = 255
    return layer


def shares(
    folder: Path, protocol: str, options: MapOptions, count: int | None
) -> list[float | None]:
    """Of each edit the share of pixels that agree, None where none was drawn."""
    task = open_keypoints(folder, protocol)
    items = list(task.items())
    if count is not None:
        chosen = np.random.default_rng(options.seed).permutation(len(items))[:count]
        items = [items[i] for i in chosen]
    found: list[float | None] = []
    with tempfile.TemporaryDirectory() as cache:
        method = MapMethod("row", options.build("semantic"), task.prompts())
        seen = method.prepare(task.photos, Path(cache), options.device).features
        for item in items:
            maps = [seen[name].map for name in item.names]
            assert all(own is not None for own in maps), "a backend that looks at nothing"
            layer = middle(item.xy0, maps[0].size_wh)
            try:
                carried = carry_edit(layer, *maps, seed=options.seed)
            except NoAnswerError:
                found.append(None)
                continue
            found.append(float(carried.inliers.mean()))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--protocol", choices=["spair71k", "pf-willow", "cub"], required=True)
    parser.add_argument("--backend", default="tiny")
    parser.add_argument("--pairs", type=int, help="so many, drawn at random; default: all")
    flags = parser.parse_args(None if argv is None else list(argv))
    found = shares(flags.data, flags.protocol, MapOptions(backend=flags.backend), flags.pairs)
    drawn = sorted(share for share in found if share is not None)
    doubtful = sum(share < LEAST_SHARE for share in drawn)
    print(f"{len(found)} edits, {len(found) - len(drawn)} refused, {doubtful} drawn but doubtful")
    print(f"shares of pixels that agree: {' '.join(f'{share:.2f}' for share in drawn)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
