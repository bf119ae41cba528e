"""What is asked of the diffusion model: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from dift_geo.errors import InputError

__all__ = ["DiftConfig"]

Reading = Literal["dense", "oriented"]
Mode = Literal["default", "paper"]
MAX_TILT = 8.0  # a surface seen at 83 degrees


@dataclass(frozen=True)
class DiftConfig:
    """What is asked of the diffusion model; plain data.

    reading: `dense` reads one map per image (the paper), `oriented` one patch per keypoint,
    normalised for scale and rotation. t: timestep, 0 to 999. noisy: add noise of level t; otherwise
    the clean image goes in and t only conditions the network. ensemble: noise draws averaged.
    layers: blocks read, concatenated. patch_px: side of an oriented patch. extents: half that side
    in units of the keypoint scale; features are averaged over the patches of all extents
    (domain-size pooling, Dong and Soatto, CVPR 2015). tilt: above 1, each extent is seen twice,
    compressed that many times along the keypoint's direction and across it, and averaged too: what
    the detector's frame gets wrong then matters less. grid: cells per side kept of an oriented
    patch's map, at most as many as it has (1 is its centre). seed: of the noise. network_wh: exact
    (width, height) shown to the network in the dense reading; None keeps the aspect ratio. mode:
    `paper` follows the released script in what it does besides: x0 is drawn from the encoder's
    posterior, the image is resized by Pillow, and the map is read with that script's half-pixel
    bias (`FeatureMap.sample_as_published`). max_batch: images, patches or ensemble members per
    forward; bounds memory, not results.
    """

    reading: Reading = "dense"
    t: int = 0
    noisy: bool = False
    ensemble: int = 1
    layers: tuple[int, ...] = (2,)
    patch_px: int = 32
    extents: tuple[float, ...] = (8.0,)
    tilt: float = 1.0
    grid: int = 1
    seed: int = 0
    network_wh: tuple[int, int] | None = None
    mode: Mode = "default"
    max_batch: int = 256

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise InputError(f"reading is {self.reading!r}, expected dense or oriented")
        if self.mode not in get_args(Mode):
            raise InputError(f"mode is {self.mode!r}, expected default or paper")
        if not 0 <= self.t < 1000:
            raise InputError(f"t is {self.t}, expected 0 to 999")
        if not self.layers:
            raise InputError("layers is empty, expected at least one decoder block")
        if not self.extents or min(self.extents) <= 0:
            raise InputError(f"extents is {self.extents}, expected one or more, all above 0")
        if not 1 <= self.tilt <= MAX_TILT:
            raise InputError(f"tilt is {self.tilt}, expected 1 (none) to {MAX_TILT}")
        for field in ("ensemble", "grid", "patch_px", "max_batch"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} is {getattr(self, field)}, expected at least 1")
        if not self.noisy and self.ensemble > 1:
            raise InputError(
                f"ensemble is {self.ensemble} without noise, expected 1: every draw would be the same"
            )

    @classmethod
    def default(cls, backend_name: str, reading: Reading | None = None) -> DiftConfig:
        """The settings a backend is meant to run with: oriented for tiny, one noise-free dense pass
        for the others.

        The layer is the paper's, or its counterpart where blocks are counted otherwise: the one
        that ends at 1/8 of the image with 640 channels is block 2 of four, but block 1 of XL's
        three. t is the paper's too; CleanDIFT's weights were tuned on clean images around 261.
        """
        reading = reading or ("oriented" if backend_name.startswith("tiny") else "dense")
        if backend_name.startswith("tiny"):
            if reading == "dense":
                return cls(reading="dense", t=100, layers=(1, 2))
            extents = (12.0, 16.0, 24.0)
            return cls(reading="oriented", t=100, layers=(-2,), extents=extents, tilt=5 / 3, grid=2)
        if backend_name == "adm":
            return cls(reading=reading, t=41, layers=(11,), max_batch=8)
        layers = (1,) if "xl" in backend_name.lower() else (2,)
        return cls(
            reading=reading,
            t=261 if "cleandift" in backend_name.lower() else 0,
            layers=layers,
            max_batch=8,
        )

    @classmethod
    def paper(cls, model: Literal["sd", "adm"]) -> DiftConfig:
        """The settings published for HPatches: Stable Diffusion 2.1 or ADM, at 768 x 768 whatever
        the aspect ratio.

        Stable Diffusion: t 0, up block 2, 8 draws; ADM: t 41, output block 11, 4 draws. The paper
        compares Stable Diffusion's descriptors by cosine and ADM's by L2 before normalising; ours
        have unit length, so both by cosine.
        """
        published = {"sd": (0, 2, 8), "adm": (41, 11, 4)}
        if model not in published:
            raise InputError(f"model is {model!r}, expected sd or adm")
        t, layer, ensemble = published[model]
        return cls(
            t=t,
            noisy=True,
            ensemble=ensemble,
            layers=(layer,),
            network_wh=(768, 768),
            mode="paper",
            max_batch=ensemble,
        )

    def recipe(self) -> dict[str, Any]:
        """What determines descriptors: everything but the batch size."""
        settings = asdict(self)
        del settings["max_batch"]
        return settings
