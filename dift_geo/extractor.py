"""From what a user asks for (backend, detector, descriptor) to the object that turns an image into
features.

`ExtractorOptions` is the one list of what can be asked: flags, `NAME:flag=value` words and hloc's
configurations are made of its fields. Knows no files of features and no matching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec

from dift_geo.backends.config import (
    Dense,
    DiftConfig,
    Effort,
    Mode,
    Oriented,
    ReadingName,
    Upright,
)
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision
from dift_geo.backends.loader import load_backend
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.extractor import Extractor
from dift_geo.detectors.loader import DETECTORS, KINDS, Limits, load_detector, split_word
from dift_geo.dift.beside import dift_beside
from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.options import check_ranges, option
from dift_geo.turned import Straighten, StraightenWord

__all__ = [
    "DESCRIPTORS",
    "DETECTORS",
    "OF_MODEL",
    "Extractor",
    "ExtractorOptions",
    "build_extractor",
]

P = ParamSpec("P")
OWNER = {kind.descriptor: name for name, kind in KINDS.items() if kind.descriptor is not None}
DESCRIPTORS = ("dift", *OWNER, *(f"dift+{own}" for own in OWNER))
CONTRAST = 0.04  # OpenCV's own
# fields that say nothing where no diffusion model is asked
OF_MODEL = ("reading", "projection", "mode", "max_batch", "effort", "config")


@dataclass(frozen=True, kw_only=True)
class ExtractorOptions:
    """What can be asked of an extractor; plain data that another process can build it from.

    Raises InputError for an unknown word, a number out of range, and for options that contradict
    each other; nothing is loaded before `build`.

    config: how the model is read, down to the layers; instead of `reading`, `mode`, `max_batch` and
        `effort`, and its noise has a seed of its own.
    """

    backend: str = option("tiny", "tiny, sd2.1, adm, ..., a model folder or a hub id")
    detector: str = option(
        "sift", ", ".join(kind.usage(name) for name, kind in KINDS.items()), metavar="NAME"
    )
    descriptor: str = option(
        "dift",
        "what is computed at the keypoints",
        choices=DESCRIPTORS,
    )
    reading: ReadingName | None = option(
        None,
        "one map of the image, or patches a keypoint: in its own frame, or upright and of fixed "
        "sizes; default: what suits backend and detector",
    )
    max_keypoints: int = option(2048, "keypoints kept of an image", metavar="N", least=1)
    contrast: float | None = option(
        None, f"threshold of SIFT's, default {CONTRAST}; lower finds more", least=0
    )
    spread: bool = option(False, "of more SIFT keypoints, keep those that cover the picture")
    upright: bool = option(False, "for photos that do not turn: keypoints without angles")
    straighten: StraightenWord = option(
        "off", "roll: turn photos back that stand turned; zoom: and shrink close-ups"
    )
    size: int | None = option(
        1600, "longest side in pixels that detector and network see", metavar="PX", least=16
    )
    projection: str | Path | None = option(
        None, "a projection fitted by `dift-geo calibrate`", metavar="FILE"
    )
    mode: Mode = option("default", "paper: published settings of Stable Diffusion or ADM")
    effort: Effort = option("default", "of tiny: how much work a keypoint is worth")
    precision: Precision = option("auto", "auto: half on a GPU")
    max_batch: int | None = option(
        None, "images, patches or draws at once; bounds memory", metavar="N", least=1
    )
    seed: int = option(0, "of the noise")
    device: str = option("cpu", "cpu, cuda, mps, or auto for the best there is")
    config: DiftConfig | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        kind, _ = split_word(self.detector)
        for word in self.descriptor.split("+"):
            owner = OWNER.get(word, kind)
            if owner != kind:
                raise InputError(
                    f"descriptor {self.descriptor!r} needs --detector {owner}, "
                    f"got {self.detector!r}"
                )
        self._check_sift_options(kind)
        self._check_model_options()
        if self.upright and (KINDS[kind].looked_up or (self._bare and self.reading != "oriented")):
            raise InputError(
                f"upright is set, but keypoints of {self.detector!r} have no angle that it could "
                "set aside; leave upright out"
            )
        if self.reading == "oriented":
            self._require_frames()
        if self.straighten in ("roll", "zoom") and KINDS[kind].looked_up:
            raise InputError(
                f"straighten is set, but keypoints of {self.detector!r} are looked up; leave it out"
            )

    def _check_sift_options(self, kind: str) -> None:
        """Refuse options of SIFT's keypoints beside another detector."""
        if kind != "sift" and (self.contrast is not None or self.spread):
            name = "spread" if self.contrast is None else "contrast"
            raise InputError(
                f"{name} is set, but the detector is {self.detector!r}; "
                f"use --detector sift or leave {name} out"
            )

    def _check_model_options(self) -> None:
        """Refuse options of the model that contradict each other or have nothing to act on."""
        asked = [name for name in OF_MODEL if vars(self)[name] != vars(ExtractorOptions)[name]]
        if asked and not self._asks_dift:
            raise InputError(
                f"{asked[0]} is set, but descriptor {self.descriptor!r} asks no diffusion model; "
                f"use --descriptor dift or leave {asked[0]} out"
            )
        clash = [name for name in asked if name not in ("config", "projection")]
        if self.config is not None and clash:
            raise InputError(f"config and {clash[0]} are set, expected one of them")
        by_patches = self.reading in ("oriented", "upright")
        if self.mode == "paper" and (by_patches or self.backend == "tiny"):
            raise InputError(
                f"mode 'paper' with backend {self.backend!r} and reading {self.reading!r}, "
                "expected sd2.1, another Stable Diffusion or adm, and the dense reading"
            )

    def _require_frames(self) -> None:
        name, _ = split_word(self.detector)
        if KINDS[name].oriented is False and KINDS[name].looked_up:
            raise InputError(
                f"the oriented reading needs keypoints with scale and angle, which "
                f"{name} does not give; use --reading dense or upright, or --detector sift"
            )

    @classmethod
    def for_models(cls, **asked: Any) -> ExtractorOptions:
        """The options that `dift-geo reconstruct` takes, which suit models best.

        At SIFT keypoints, `dift+rootsift` with little effort and a lower contrast; as many
        keypoints as suit the detector.

        asked: fields that are to be as given; None counts as left out.
        """
        asked = {name: value for name, value in asked.items() if value is not None}
        kind, _ = split_word(asked.get("detector", cls.detector))
        fields = {"straighten": "auto", **KINDS[kind].for_models, **asked}
        if "effort" not in asked and not cls._has_efforts(fields):
            fields.pop("effort", None)
        return cls(**fields)

    @classmethod
    def _has_efforts(cls, fields: Mapping[str, Any]) -> bool:
        """Whether what is asked for can be had at another effort than the default one: the
        embedded model can, at oriented patches, with projections of its own.
        """
        own = {"backend": cls.backend, "reading": "oriented", "mode": cls.mode}
        asks_dift = "dift" in str(fields.get("descriptor", cls.descriptor)).split("+")
        return (
            asks_dift
            and all(fields.get(name, value) == value for name, value in own.items())
            and not {"projection", "config"} & fields.keys()
        )

    @property
    def straightening(self) -> Straighten | None:
        """How a set of photos is to be shown to the extractor; None is as they stand."""
        framed = self.upright or self.reading == "oriented"
        suits = KINDS[split_word(self.detector)[0]].straightened and not framed
        return Straighten.of(self.straighten, self.size, suits=suits)

    @property
    def _bare(self) -> bool:
        """Whether keypoints are found without scale and angle, so that nothing can be oriented.

        Listed ones were chosen for a comparison, and so its reading has to be chosen too.
        """
        return KINDS[split_word(self.detector)[0]].computed_without_frames

    @property
    def _asks_dift(self) -> bool:
        return "dift" in self.descriptor.split("+")

    def build(self) -> Extractor:
        """Load the parts. Raises what they raise for weights and files that cannot be had."""
        if not self._asks_dift:
            detector = self._load_detector()
            return Extractor(detector, _own_describer(detector), self.size, self.straightening)
        # a small file before large ones
        fitted = None if self.projection is None else Projection.load(self.projection)
        backend, config = self._load_backend()
        detector = self._load_detector(config)
        beside = _own_describer(detector) if "+" in self.descriptor else None
        describer = dift_beside(backend, config, fitted, beside)
        return Extractor(detector, describer, self._size(config), self.straightening)

    def build_raw(self) -> Dift:
        """The descriptors before any projection, with a detector, for `calibrate` to fit one.

        The rows of another descriptor that is asked for stand beside those of the model.
        Raises InputError where the descriptor asks no diffusion model, and for a detector that
        cannot look at the synthetic views on which a projection is fitted.
        """
        kind, _ = split_word(self.detector)
        if KINDS[kind].looked_up:
            raise InputError(
                f"detector is {self.detector!r}, but a projection is fitted on warped photos, in "
                "which keypoints have to be found anew; use --detector sift or superpoint"
            )
        if not self._asks_dift:
            raise InputError(
                f"descriptor is {self.descriptor!r}, but a projection is fitted for DIFT; "
                "use --descriptor dift or dift+rootsift"
            )
        backend, config = self._load_backend()
        detector = self._load_detector(config)
        beside = _own_describer(detector) if "+" in self.descriptor else None
        return Dift(backend, detector, config, None, self._size(config), beside)

    def _load_backend(self) -> tuple[Backend, DiftConfig]:
        backend = load_backend(self.backend, device=self.device, precision=self.precision)
        backend = backend.at_effort(self.effort)
        config = self.config
        if config is None:
            config = backend.settings(self.reading, self.mode)
            if self.reading is None and isinstance(config.reading, Oriented) and self._bare:
                config = backend.settings(Upright.name, self.mode)
            if config.noise is not None:
                config = replace(config, noise=replace(config.noise, seed=self.seed))
            if self.max_batch is not None:
                config = replace(config, max_batch=self.max_batch)
        if isinstance(config.reading, Oriented):
            self._require_frames()
        return backend, config

    def _load_detector(self, config: DiftConfig | None = None) -> Detector:
        # where orientation does not enter the descriptor, a second orientation would repeat it
        oriented = config is not None and isinstance(config.reading, Oriented)
        limits = Limits(
            max_keypoints=self.max_keypoints,
            device=self.device,
            once=config is not None and not oriented and self.descriptor == "dift",
            upright=self.upright or self.straightening is not None,
            framed=oriented,
            contrast=CONTRAST if self.contrast is None else self.contrast,
            spread=self.spread,
        )
        return load_detector(self.detector, limits)

    def _size(self, config: DiftConfig) -> int | None:
        # the published reading resizes the image at its own size
        published = isinstance(config.reading, Dense) and config.reading.published_grid
        return None if published else self.size


def _building(options: Callable[P, ExtractorOptions]) -> Callable[P, Extractor]:
    """A function that takes the fields of the options and is checked by type checkers as they."""

    def build_extractor(*args: P.args, **fields: P.kwargs) -> Extractor:
        """The extractor of these fields of `ExtractorOptions`; all have defaults."""
        return options(*args, **fields).build()

    return build_extractor


build_extractor = _building(ExtractorOptions)


def _own_describer(detector: Detector) -> Describer:
    describer = detector.own_describer()
    if describer is None:
        raise InputError(f"{detector.name} has no descriptor of its own, expected sift")
    return describer
