"""The rows of `search.py`: what each changes of the shipped settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dift_geo.backends.config import Noise

__all__ = ["SETTINGS", "Setting"]


@dataclass(frozen=True)
class Setting:
    """A row: changes of the shipped settings, the weights, and what is done with raw descriptors.

    reading, config: changed fields of the oriented reading, and of the `DiftConfig` around it.
    projection: `fitted`, `cosine` (fitted, without the constant), `pca`, `raw`, or `head`: an MLP
        on top of the fitted one.
    dim, constant: of the projection.
    random_weights: the same architecture, untrained.
    rootsift: `joined` by weight, `inside` the projection, or `alone` instead of the network.
    """

    reading: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    projection: str = "fitted"
    dim: int = 128
    constant: float = 2.0
    random_weights: bool = False
    rootsift: Literal["", "joined", "inside", "alone"] = ""


SETTINGS = {
    "as shipped": Setting(),
    "random weights": Setting(random_weights=True),
    "raw descriptors": Setting(projection="raw"),
    "PCA": Setting(projection="pca"),
    "whitened, cosine (no constant)": Setting(projection="cosine"),
    "whitened, cosine, random weights": Setting(projection="cosine", random_weights=True),
    "constant 1": Setting(constant=1.0),
    "constant 4": Setting(constant=4.0),
    "64 dimensions": Setting(dim=64),
    "256 dimensions": Setting(dim=256),
    "head trained by InfoNCE": Setting(projection="head"),
    "extent 16, no tilt: one patch": Setting({"extents": (16.0,), "tilt": 1.0}),
    "extents 12, 16, 24, no tilt": Setting({"tilt": 1.0}),
    "extent 16, tilt 5/3": Setting({"extents": (16.0,)}),
    "extents 12, 20": Setting({"extents": (12.0, 20.0)}),
    "extents 10, 16, 28": Setting({"extents": (10.0, 16.0, 28.0)}),
    "tilt 5/2": Setting({"tilt": 2.5}),
    "first down block": Setting({"grid": 4}, config={"layers": (-4,)}),
    "first down block, random weights": Setting(
        {"grid": 4}, config={"layers": (-4,)}, random_weights=True
    ),
    "second down block": Setting({"grid": 4}, config={"layers": (-3,)}),
    "middle block": Setting(config={"layers": (-1,)}),
    "up block 0": Setting({"grid": 4}, config={"layers": (0,)}),
    "up block 1": Setting({"grid": 4}, config={"layers": (1,)}),
    "up block 2": Setting({"grid": 4}, config={"layers": (2,)}),
    "second and third down block": Setting({"grid": 4}, config={"layers": (-3, -2)}),
    "second and third down block, random weights": Setting(
        {"grid": 4}, config={"layers": (-3, -2)}, random_weights=True
    ),
    "third down block and middle": Setting(config={"layers": (-2, -1)}),
    "grid 1 (centre)": Setting({"grid": 1}),
    "t = 0": Setting(config={"t": 0}),
    "t = 300": Setting(config={"t": 300}),
    "noisy input, t = 100": Setting(config={"noise": Noise()}),
    "noisy input, t = 100, 4 draws": Setting(config={"noise": Noise(ensemble=4)}),
    "patches of 64 px": Setting({"patch_px": 64, "grid": 4}),
    "RootSIFT beside, joined by weight": Setting(rootsift="joined"),
    "RootSIFT inside the projection": Setting(rootsift="inside", dim=256, constant=4.0),
    "RootSIFT inside, random weights": Setting(
        rootsift="inside", dim=256, constant=4.0, random_weights=True
    ),
    "RootSIFT alone, projected": Setting(rootsift="alone"),
}
