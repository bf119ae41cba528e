"""From the word a user types to the detector it means, and which descriptor comes with which.

A word is KIND or KIND:WHERE. The only place that knows the kinds; a detector's own file is imported
when it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from dift_geo.detectors.contract import Detector
from dift_geo.detectors.framed import Framed
from dift_geo.errors import InputError

__all__ = ["DETECTORS", "KINDS", "Kind", "Limits", "load_detector", "split_word"]


# chosen by two-view poses over all scenes, docs/results.md; learned keypoints come back in other
# photos more often than SIFT's
SIFT: Mapping[str, object] = MappingProxyType(
    {"descriptor": "dift+rootsift", "effort": "fast", "contrast": 0.02, "max_keypoints": 8192}
)
LEARNED: Mapping[str, object] = MappingProxyType({"max_keypoints": 4096})
GIVEN: Mapping[str, object] = MappingProxyType({"max_keypoints": 8192})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a detector that computes keypoints is told.

    max_keypoints: the strongest kept.
    device: where a network runs.
    once: one keypoint a place is enough, as orientation does not enter the descriptor.
    upright: photos do not turn, so that the angle of every keypoint is 0.
    contrast: threshold of SIFT's, which others do not have.
    spread: of more keypoints than asked for those are kept that cover the picture.
    framed: scale and angle are needed, and are given to keypoints of detectors that have neither.
    """

    max_keypoints: int = 2048
    device: str = "cpu"
    once: bool = False
    upright: bool = False
    contrast: float = 0.04
    spread: bool = False
    framed: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of detector.

    build: makes it, of what stands behind the colon (empty where nothing does) and the limits.
    where: what stands behind the colon, for messages; empty where nothing may.
    needs_where: whether it must stand there.
    descriptor: the descriptor that comes with it; None where there is none.
    oriented: whether its keypoints have scale and angle; None where that depends on the data.
    looked_up: whether keypoints are found by the name of an image, so that new images have none.
    straightened: whether they are worth more in photos that are turned back than as these stand.
    for_models: fields of the extractor's options that suit reconstructions.
    """

    build: Callable[[str, Limits], Detector]
    where: str = ""
    needs_where: bool = False
    descriptor: str | None = None
    oriented: bool | None = None
    looked_up: bool = False
    straightened: bool = False
    for_models: Mapping[str, object] = field(default_factory=lambda: LEARNED)

    @property
    def computed_without_frames(self) -> bool:
        """Whether keypoints are computed, from any picture, without scale and angle."""
        return self.oriented is False and not self.looked_up

    def usage(self, name: str) -> str:
        """How the word is written."""
        if not self.where:
            return name
        return f"{name}:{self.where}" if self.needs_where else f"{name}[:{self.where}]"


def _sift(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.sift import Sift

    return Sift(
        limits.max_keypoints,
        max_orientations=1 if limits.once else 2,
        contrast_threshold=limits.contrast,
        spread=limits.spread,
        upright=limits.upright,
    )


def _superpoint(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.superpoint import SUPERPOINT, SuperPoint

    return SuperPoint(limits.max_keypoints, where or SUPERPOINT, device=limits.device)


def _aliked(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.aliked import ALIKED, Aliked

    return Aliked(limits.max_keypoints, where or ALIKED, device=limits.device)


def _disk(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.disk import DISK, Disk

    return Disk(limits.max_keypoints, where or DISK, device=limits.device)


def _tiny(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.tiny import TINY_KEYPOINTS, TinyKeypoints

    return TinyKeypoints(
        limits.max_keypoints,
        where or TINY_KEYPOINTS,
        upright=limits.upright,
        device=limits.device,
    )


def _colmap(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.colmap import ColmapKeypoints

    return ColmapKeypoints(Path(where))


def _listed(where: str, limits: Limits) -> Detector:
    from dift_geo.detectors.listed import Listed

    return Listed(Path(where))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "sift": Kind(build=_sift, descriptor="rootsift", oriented=True, for_models=SIFT),
        "superpoint": Kind(
            build=_superpoint,
            where="FOLDER_OR_HUB_ID",
            descriptor="superpoint",
            oriented=False,
            straightened=True,
        ),
        "aliked": Kind(
            build=_aliked,
            where="MODEL_OR_FILE",
            descriptor="aliked",
            oriented=False,
            straightened=True,
        ),
        "disk": Kind(
            build=_disk, where="FILE", descriptor="disk", oriented=False, straightened=True
        ),
        "tiny": Kind(build=_tiny, where="FILE", oriented=True, straightened=True),
        "colmap": Kind(
            build=_colmap, where="DATABASE", needs_where=True, looked_up=True, for_models=GIVEN
        ),
        "listed": Kind(
            build=_listed,
            where="FOLDER",
            needs_where=True,
            oriented=False,
            looked_up=True,
            for_models=GIVEN,
        ),
    }
)
DETECTORS = tuple(name for name, kind in KINDS.items() if not kind.needs_where)


def load_detector(word: str, limits: Limits = Limits()) -> Detector:
    """The detector that a word means, such as sift, tiny[:FILE], aliked[:MODEL_OR_FILE],
    disk[:FILE], superpoint[:FOLDER_OR_HUB_ID], colmap:DATABASE or listed:FOLDER.

    Raises InputError for a word that means none, and what the detector raises.
    """
    name, where = split_word(word)
    kind = KINDS[name]
    detector = kind.build(where, limits)
    if limits.framed and kind.computed_without_frames:
        return Framed(detector, limits.max_keypoints, upright=limits.upright)
    return detector


def split_word(word: str) -> tuple[str, str]:
    """The kind and what stands behind the colon; nothing is opened or loaded.

    Raises InputError for a word that means no detector.
    """
    name, colon, where = word.partition(":")
    if name not in KINDS:
        raise InputError(f"detector is {word!r}, expected {_expected(word)}")
    kind = KINDS[name]
    if (kind.needs_where and not where) or (colon and not (kind.where and where)):
        raise InputError(f"detector is {word!r}, expected {kind.usage(name)}")
    return name, where


def _expected(word: str) -> str:
    # version 0.1 took the folder or hub id of SuperPoint alone
    if word and ":" not in word and ("/" in word or Path(word).is_dir()):
        return f"superpoint:{word} for a folder or hub id of SuperPoint"
    return "one of " + ", ".join(kind.usage(name) for name, kind in KINDS.items())
