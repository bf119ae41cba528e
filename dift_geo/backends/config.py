"""What is asked of a diffusion model: plain data that refuses what cannot be done.

Three readings, noise apart from all, and the settings that hold them. Knows no model and cannot
act.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

from dift_geo.errors import InputError

__all__ = [
    "Dense",
    "DiftConfig",
    "Effort",
    "Mode",
    "Noise",
    "Oriented",
    "Reading",
    "ReadingName",
    "Resize",
    "Upright",
    "published",
    "reading_named",
    "settings_from_plain",
    "settings_to_plain",
]

ReadingName = Literal["dense", "oriented", "upright"]
Mode = Literal["default", "paper"]
Effort = Literal["fast", "default", "best"]
Resize = Literal["bilinear", "pillow"]
MAX_TILT = 8.0  # a surface seen at 83 degrees


@dataclass(frozen=True, kw_only=True)
class Dense:
    """One map of the whole image, read at the keypoints: the paper's reading.

    network_wh: exact (width, height) in pixels shown to the network; None keeps the aspect ratio.
    resize: how the image gets that size; `pillow` is bicubic and rounds to 8 bits, as the paper's
        script does.
    published_grid: read the map with the half-pixel bias of the paper's script, see
        `FeatureMap.sample_as_published`.
    """

    network_wh: tuple[int, int] | None = None
    resize: Resize = "bilinear"
    published_grid: bool = False

    name: ClassVar[ReadingName] = "dense"

    def __post_init__(self) -> None:
        if self.network_wh is not None and min(self.network_wh) < 1:
            raise InputError(f"network_wh is {self.network_wh}, expected positive width and height")
        if self.resize not in get_args(Resize):
            raise InputError(f"resize is {self.resize!r}, expected bilinear or pillow")


@dataclass(frozen=True, kw_only=True)
class Oriented:
    """One patch a keypoint, normalised for its scale and rotation.

    patch_px: side of a patch in pixels.
    extents: half of that side in keypoint scales; features are averaged over the patches of all
        extents (domain-size pooling, Dong and Soatto, CVPR 2015).
    tilt: above 1, each extent is seen twice, compressed that many times along the keypoint's
        direction and across it, and averaged too; errors of the detector's frame then matter less.
    grid: cells per side kept of a patch's map, at most as many as it has; 1 is its centre.
    """

    patch_px: int = 32
    extents: tuple[float, ...] = (8.0,)
    tilt: float = 1.0
    grid: int = 1

    name: ClassVar[ReadingName] = "oriented"

    def __post_init__(self) -> None:
        _check_patches("extents", self.extents, self.patch_px, self.tilt, self.grid)


@dataclass(frozen=True, kw_only=True)
class Upright:
    """Upright patches of fixed sizes at each keypoint, for keypoints without scale and angle.

    patch_px: side of a patch in pixels, as the network sees it.
    radii_px: half of that side in pixels of the image; features are averaged over the patches of
        all radii, and the wider their range the more may photos differ in zoom.
    tilt: as `Oriented.tilt`, along the image's sides.
    grid: as `Oriented.grid`.
    """

    patch_px: int = 32
    radii_px: tuple[float, ...] = (16.0,)
    tilt: float = 1.0
    grid: int = 1

    name: ClassVar[ReadingName] = "upright"

    def __post_init__(self) -> None:
        _check_patches("radii_px", self.radii_px, self.patch_px, self.tilt, self.grid)


Reading = Dense | Oriented | Upright
READINGS: Mapping[str, type[Reading]] = MappingProxyType(
    {reading.name: reading for reading in (Dense, Oriented, Upright)}
)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of the level of the timestep, added to what goes into the network.

    ensemble: draws over which features are averaged.
    posterior: draw the encoding of the image too, where the encoder is random.
    seed: of the draws, together with the name of the image.
    """

    ensemble: int = 1
    posterior: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least_one("ensemble", self.ensemble)


@dataclass(frozen=True, kw_only=True)
class DiftConfig:
    """How descriptors are read out of a diffusion model.

    reading: `Dense`, `Oriented` or `Upright`, with what belongs to it.
    t: timestep that the network is told, 0 to 999.
    layers: blocks read, concatenated; what their numbers mean is the backend's.
    noise: noise added; None shows the clean image, and the timestep only conditions the network.
    max_batch: images, patches or draws per forward; bounds memory, not results.
    """

    reading: Reading = Dense()
    t: int = 0
    layers: tuple[int, ...] = (2,)
    noise: Noise | None = None
    max_batch: int = 256

    def __post_init__(self) -> None:
        if not isinstance(self.reading, Reading):
            raise InputError(
                f"reading is {self.reading!r}, expected Dense(...), Oriented(...) or Upright(...)"
            )
        if not isinstance(self.noise, Noise | None):
            raise InputError(f"noise is {self.noise!r}, expected Noise(...) or None")
        if not 0 <= self.t < 1000:
            raise InputError(f"t is {self.t}, expected 0 to 999")
        if not self.layers:
            raise InputError("layers is empty, expected at least one decoder block")
        _at_least_one("max_batch", self.max_batch)

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
            reading=Dense(network_wh=(768, 768), resize="pillow", published_grid=True),
            t=t,
            layers=(layer,),
            noise=Noise(ensemble=ensemble, posterior=True),
            max_batch=ensemble,
        )

    def recipe(self) -> dict[str, object]:
        """What determines descriptors: everything but the batch size."""
        recipe = settings_to_plain(self)
        del recipe["max_batch"]
        return {**recipe, "reading": {"name": self.reading.name, **asdict(self.reading)}}


def published(model: Literal["sd", "adm"], reading: ReadingName | None) -> DiftConfig:
    """`DiftConfig.paper` for a user who may have asked for a reading besides.

    Raises InputError for another one than the paper's.
    """
    if reading not in (None, Dense.name):
        raise InputError(
            f"reading is {reading!r} with the paper's settings, expected dense; "
            "use --mode default for others"
        )
    return DiftConfig.paper(model)


def reading_named(name: ReadingName) -> Reading:
    """A reading with the defaults of its fields."""
    return _reading_type(name)()


def settings_to_plain(config: DiftConfig) -> dict[str, object]:
    """Settings as JSON holds them; which reading they are for is not said inside."""
    return asdict(config)


def settings_from_plain(name: str, plain: Mapping[str, object]) -> DiftConfig:
    """What `settings_to_plain` gave of a `DiftConfig` of that reading, perhaps by way of JSON.

    Fields left out have their defaults. Raises InputError for a field that does not exist and for a
    value that is refused.
    """
    kind, fields = _reading_type(name), _tuples(plain)
    try:
        reading = kind(**_tuples(fields.pop("reading", {})))
        noise = fields.pop("noise", None)
        return DiftConfig(
            reading=reading, noise=None if noise is None else Noise(**_tuples(noise)), **fields
        )
    except TypeError as error:
        raise InputError(f"settings of the {name} reading cannot be used: {error}") from error


def _reading_type(name: str) -> type[Reading]:
    if name not in READINGS:
        raise InputError(f"reading is {name!r}, expected {', '.join(READINGS)}")
    return READINGS[name]


def _check_patches(
    field: str, sizes: tuple[float, ...], patch_px: int, tilt: float, grid: int
) -> None:
    """Refuse patches that cannot be cut; `field` is what the sizes are called."""
    _at_least_one("patch_px", patch_px)
    _at_least_one("grid", grid)
    if not sizes or min(sizes) <= 0:
        raise InputError(f"{field} is {sizes}, expected one or more, all above 0")
    if not 1 <= tilt <= MAX_TILT:
        raise InputError(f"tilt is {tilt}, expected 1 (none) to {MAX_TILT}")


def _tuples(plain: object) -> dict:
    """A mapping out of JSON, its lists as tuples."""
    if not isinstance(plain, Mapping):
        raise InputError(f"settings hold {plain!r}, expected a mapping of fields")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}


def _at_least_one(field: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{field} is {value}, expected at least 1")
