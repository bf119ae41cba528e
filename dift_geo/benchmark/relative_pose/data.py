"""Pairs of photos with intrinsics and the true relative pose: what a list of them is, and which of
them count.

Knows no layout of files, no features and no scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from posixpath import commonpath

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.geometry.pose import angle_deg

__all__ = ["Choice", "PosedPair", "PosedPairs", "View", "by_scene", "choose", "scenes_of"]

Float64 = NDArray[np.float64]
AHEAD = np.array([0.0, 0.0, 1.0])  # where a camera looks, in its own frame


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """A photo and what is known of its camera.

    name: of the photo, relative to the folder of the data.
    K: (3, 3) intrinsics, for pixels with (0, 0) at the centre of the top-left one.
    size_wh: width and height of the photo that the intrinsics are for; None where the data do not
        say, which is the photo's own.
    """

    name: str
    K: Float64
    size_wh: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class PosedPair:
    """Two photos and the truth between them.

    scene: what they belong to.
    view0, view1: the photos.
    cam1_from_cam0: (3, 4), rows of (R | t); the length of t does not matter.
    """

    scene: str
    view0: View
    view1: View
    cam1_from_cam0: Float64

    @property
    def names(self) -> tuple[str, str]:
        return self.view0.name, self.view1.name

    @property
    def angle_deg(self) -> float:
        """Between the directions in which the two cameras look; a roll does not count."""
        return angle_deg(self.cam1_from_cam0[:, :3] @ AHEAD, AHEAD)

    @property
    def baseline(self) -> float:
        """Distance of the cameras in the units of the truth."""
        return float(np.linalg.norm(self.cam1_from_cam0[:, 3]))


@dataclass(frozen=True)
class PosedPairs:
    """Every pair that takes part.

    folder: what the names of the photos are relative to.
    layout: where the truth was read, in a few words.
    pairs: scene by scene.
    problems: one line for whatever is missing or cannot be used.
    """

    folder: Path
    layout: str
    pairs: tuple[PosedPair, ...]
    problems: tuple[str, ...] = ()

    @property
    def scenes(self) -> list[str]:
        return list(dict.fromkeys(pair.scene for pair in self.pairs))

    @property
    def images(self) -> list[str]:
        """Names of all photos that take part, each once."""
        return list(dict.fromkeys(chain.from_iterable(pair.names for pair in self.pairs)))

    @cached_property
    def shared_folders(self) -> Mapping[str, PurePosixPath]:
        """By scene, the folder in which all of its photos lie."""
        folders: dict[str, set[str]] = {}
        for pair in self.pairs:
            own = folders.setdefault(pair.scene, set())
            own.update(str(PurePosixPath(name).parent) for name in pair.names)
        return {scene: _shared(own) for scene, own in folders.items()}

    def label(self, pair: PosedPair) -> str:
        """What a pair is called in its scene: `a.jpg-b.jpg`."""
        folder = self.shared_folders[pair.scene]
        return "-".join(str(PurePosixPath(name).relative_to(folder)) for name in pair.names)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which pairs count.

    scenes: names or patterns (`sacre_*`); None takes all.
    max_angle_deg: the most by which the directions of the two cameras may differ; None takes all.
    pairs_per_scene: how many are drawn of a scene that has more; None takes all.
    seed: of the draw, which is made in each scene by itself.
    """

    scenes: Sequence[str] | None = None
    max_angle_deg: float | None = None
    pairs_per_scene: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_angle_deg is not None and not 0 < self.max_angle_deg <= 180:
            raise InputError(
                f"max angle is {self.max_angle_deg:g} degrees, expected more than 0, at most 180"
            )
        if self.pairs_per_scene is not None and self.pairs_per_scene < 1:
            raise InputError(f"pairs per scene is {self.pairs_per_scene}, expected at least 1")

    def recipe(self) -> dict[str, object]:
        """What distinguishes it from all pairs."""
        drawn = None if self.pairs_per_scene is None else self.seed
        return {
            "max_angle_deg": self.max_angle_deg,
            "pairs_per_scene": self.pairs_per_scene,
            "pairs_seed": drawn,
        }


def choose(found: PosedPairs, choice: Choice) -> PosedPairs:
    """The pairs that count, of those whose photos are there; the others are named in `problems`.

    Raises InputError for a pattern that fits no scene, and where no pair is left.
    """
    scenes = _chosen(found, choice.scenes)
    kept: list[PosedPair] = []
    problems = list(found.problems)
    for scene, pairs in by_scene(found.pairs).items():
        if scene not in scenes:
            continue
        there, lines = _with_photos(found.folder, scene, pairs)
        problems += lines
        kept += _drawn(scene, there, choice)
    if not kept:
        reason = "; ".join(problems[:3]) or "no pair is as near as --max-angle asks"
        raise InputError(f"no usable pair in {found.folder}: {reason}")
    return replace(found, pairs=tuple(kept), problems=tuple(problems))


def by_scene(pairs: Iterable[PosedPair]) -> dict[str, list[PosedPair]]:
    """The pairs of each scene, in the order in which scenes first appear."""
    found: dict[str, list[PosedPair]] = {}
    for pair in pairs:
        found.setdefault(pair.scene, []).append(pair)
    return found


def scenes_of(names: Iterable[str]) -> Mapping[str, str]:
    """The scene of each photo by its name: the first folder below those that all photos share.

    `Undistorted_SfM/0015/images/a.jpg` among others of 0022 is of 0015. Where all photos lie in one
    folder, that one is the scene; folders called `images` and the like are passed over.
    """
    folders = {name: PurePosixPath(name).parent for name in names}
    shared = _shared({str(folder) for folder in folders.values()})
    plain = [part for part in shared.parts if part.lower() not in ("images", "imgs", "color")]
    only = plain[-1] if plain else "scene"
    found = {}
    for name, folder in folders.items():
        below = folder.relative_to(shared).parts
        found[name] = below[0] if below else only
    return found


def _shared(folders: set[str]) -> PurePosixPath:
    if len({folder.startswith("/") for folder in folders}) != 1:
        return PurePosixPath(".")
    return PurePosixPath(commonpath(folders))


def _chosen(found: PosedPairs, patterns: Sequence[str] | None) -> set[str]:
    if patterns is None:
        return set(found.scenes)
    chosen = set()
    for pattern in patterns:
        fitting = [scene for scene in found.scenes if fnmatch(scene, pattern)]
        if not fitting:
            held = ", ".join(found.scenes[:8]) or "none"
            raise InputError(f"no scene {pattern!r} in {found.folder}; it holds {held}")
        chosen.update(fitting)
    return chosen


def _with_photos(
    folder: Path, scene: str, pairs: Sequence[PosedPair]
) -> tuple[list[PosedPair], list[str]]:
    """The pairs of which both photos are files, and a line about the others."""
    names = dict.fromkeys(chain.from_iterable(pair.names for pair in pairs))
    absent = [name for name in names if not (folder / name).is_file()]
    if not absent:
        return list(pairs), []
    gone = set(absent)
    kept = [pair for pair in pairs if not gone & set(pair.names)]
    return kept, [
        f"{scene}: {len(absent)} of {len(names)} photos are not there ({absent[0]} is the first), "
        f"so {len(pairs) - len(kept)} of {len(pairs)} pairs are left out"
    ]


def _drawn(scene: str, pairs: Sequence[PosedPair], choice: Choice) -> list[PosedPair]:
    if choice.max_angle_deg is not None:
        pairs = [pair for pair in pairs if pair.angle_deg <= choice.max_angle_deg]
    count = choice.pairs_per_scene
    if count is None or len(pairs) <= count:
        return list(pairs)
    random = np.random.default_rng([choice.seed, *scene.encode()])
    picked = np.sort(random.choice(len(pairs), count, replace=False))
    return [pairs[i] for i in picked]
