"""Folders in HPatches layout: which pairs they hold, with the true homographies, and what is wrong
with them.

A sequence is a folder with images 1 to 6 and files H_1_2 to H_1_6 that carry pixels of image 1 to
image k. Reads the homographies and lists the images; decodes none, and knows nothing of features or
scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, NotAFolderError

__all__ = [
    "Benchmark",
    "LARGE_SEQUENCES",
    "Pair",
    "by_kind",
    "image_of",
    "kind_of",
    "read_benchmark",
    "read_homography",
]

IMAGES_PER_SEQUENCE = 6
EXTENSIONS = ("ppm", "png", "jpg", "jpeg", "pgm")
# Beyond 1600 x 1200 pixels: left out by D2-Net (CVPR 2019) and everyone since, which leaves 108
# sequences, 540 pairs.
LARGE_SEQUENCES = frozenset(
    [
        "i_contruction",
        "i_crownnight",
        "i_dc",
        "i_pencils",
        "i_whitebuilding",
        "v_artisans",
        "v_astronautis",
        "v_talent",
    ]
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images of a sequence and the truth between them.

    sequence: name of the folder.
    index: number of the second image; the first is image 1.
    name0, name1: of the images, relative to the folder of the benchmark.
    H_1_from_0: (3, 3), carries pixels of image 1 to pixels of image `index`.
    """

    sequence: str
    index: int
    name0: str
    name1: str
    H_1_from_0: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Every pair of a folder that has both images and its homography.

    folder: where the sequences are.
    pairs: in the order of their sequences.
    problems: one line for whatever is missing or unusable; nothing is left out in silence.
    excluded: large sequences that were there and are not part of the protocols.
    """

    folder: Path
    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def sequences(self) -> list[str]:
        return list(dict.fromkeys(pair.sequence for pair in self.pairs))

    @property
    def images(self) -> list[str]:
        """Names of all images that take part, image 1 of each sequence once."""
        names = chain.from_iterable((pair.name0, pair.name1) for pair in self.pairs)
        return list(dict.fromkeys(names))


def kind_of(sequence: str) -> str | None:
    """`i` for illumination, `v` for viewpoint, by the name's prefix; None for others, which count
    in `all` alone.
    """
    return sequence[0] if sequence[:2] in ("i_", "v_") else None


def by_kind(sequences: Sequence[str]) -> dict[str, list[str]]:
    """Which of the sequences change the light, `i`, and which the viewpoint, `v`."""
    kinds: dict[str, list[str]] = {"i": [], "v": []}
    for name in sequences:
        kind = kind_of(name)
        if kind is not None:
            kinds[kind].append(name)
    return kinds


def read_benchmark(
    folder: str | Path, *, sequences: Sequence[str] | None = None, include_large: bool = False
) -> Benchmark:
    """The pairs of a folder in HPatches layout, sequences in alphabetical order.

    sequences: names or patterns (`v_*`) to take; None takes all.
    include_large: also the eight that the protocols leave out.

    Raises NotAFolderError when there is no folder and InputError when it holds no usable pair.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotAFolderError(
            f"{root} is not a folder; expected HPatches sequences in it "
            "(`dift-geo download` fetches them)"
        )
    found = sorted(path.name for path in root.iterdir() if path.is_dir() and _is_sequence(path))
    if sequences is not None:
        found = _chosen(root, found, sequences)
    excluded = [] if include_large else [name for name in found if name in LARGE_SEQUENCES]
    pairs: list[Pair] = []
    problems: list[str] = []
    for name in found:
        if name not in excluded:
            own_pairs, own_problems = _read_sequence(root, name)
            pairs += own_pairs
            problems += own_problems
    if not pairs:
        reason = (
            "; ".join(problems[:3]) or "no folder in it holds images 1 to 6 with H_1_2 to H_1_6"
        )
        raise InputError(f"no usable pair in {root}: {reason}")
    return Benchmark(root, tuple(pairs), tuple(problems), tuple(excluded))


def _chosen(root: Path, found: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names that a pattern fits. Raises InputError for a pattern that fits none."""
    chosen = set()
    for pattern in patterns:
        fitting = [name for name in found if fnmatch(name, pattern)]
        if not fitting:
            raise InputError(f"no sequence {pattern!r} in {root}; it holds {_some(found)}")
        chosen.update(fitting)
    return sorted(chosen)


def _is_sequence(folder: Path) -> bool:
    return image_of(folder, 1) is not None or any(folder.glob("H_1_*"))


def image_of(folder: Path, index: int) -> str | None:
    """The file of image `index` of a sequence, whatever its format; None where there is none."""
    return next(
        (f"{index}.{ext}" for ext in EXTENSIONS if (folder / f"{index}.{ext}").is_file()), None
    )


def _read_sequence(root: Path, name: str) -> tuple[list[Pair], list[str]]:
    folder = root / name
    first = image_of(folder, 1)
    if first is None:
        return [], [f"{name}: image 1 is missing, so the sequence is left out"]
    pairs, problems, absent = [], [], []
    for index in range(2, IMAGES_PER_SEQUENCE + 1):
        image = image_of(folder, index)
        if image is None:
            absent.append(index)
            continue
        try:
            H = read_homography(folder / f"H_1_{index}")
            pairs.append(Pair(name, index, f"{name}/{first}", f"{name}/{image}", H))
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {error}; pair 1-{index} is left out")
    if absent:
        problems.append(
            f"{name}: image {_numbers(absent)} missing, "
            f"{len(pairs)} pairs instead of {IMAGES_PER_SEQUENCE - 1}"
        )
    return pairs, problems


def read_homography(path: str | Path) -> NDArray[np.float64]:
    """A text file of nine numbers: (3, 3). Raises MissingFileError, or InputError when it
    holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path.name} is missing")
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except ValueError:
        raise InputError(f"{path.name} is no text of numbers") from None
    if values.size != 9 or not np.isfinite(values).all():
        raise InputError(f"{path.name} holds {values.size} numbers, expected 9 finite ones")
    H = values.reshape(3, 3)
    if abs(np.linalg.det(H / np.abs(H).max(initial=1e-300))) < 1e-15:
        raise InputError(f"{path.name} cannot be inverted")
    return H


def _numbers(values: Iterable[int]) -> str:
    texts = [str(value) for value in values]
    return f"{', '.join(texts)} {'is' if len(texts) == 1 else 'are'}"


def _some(names: Sequence[str], limit: int = 8) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{rest}" or "none"
