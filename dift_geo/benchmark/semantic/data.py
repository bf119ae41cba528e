"""Pairs of photos with the same keypoints of an object, read from the layouts of the benchmarks.

SPair-71k and PF-WILLOW as they are published, CUB-200-2011 with lists of images to pair. Knows
nothing of features and scores.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.errors import InputError, MissingFileError, NotAFolderError
from dift_geo.jsonfiles import parse_json

__all__ = ["KeypointPair", "KeypointPairs", "read_cub", "read_pf_willow", "read_spair"]

WILLOW_POINTS = 10


@dataclass(frozen=True)
class KeypointPair:
    """Two photos and where the same keypoints are in both.

    names: source and target, below the folder of the data.
    category: of the object, as the data spell it.
    label: which pair it is, inside its category.
    xy0, xy1: (K, 2) float64 pixels of source and target.
    box1: (x0, y0, x1, y1) around the target object; None where it is not annotated.
    """

    names: tuple[str, str]
    category: str
    label: str
    xy0: NDArray[np.float64]
    xy1: NDArray[np.float64]
    box1: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        shapes = np.shape(self.xy0), np.shape(self.xy1)
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != 2:
            raise InputError(
                f"keypoints of {self.label} have shapes {shapes[0]} and {shapes[1]}, "
                "expected (K, 2) twice"
            )


@dataclass(frozen=True)
class KeypointPairs:
    """What a folder holds.

    folder: names are relative to it.
    layout: what was read, for the page of results.
    pairs: in the order of the files.
    said: category -> what a prompt calls it.
    problems: a line for each pair that cannot be used.
    """

    folder: Path
    layout: str
    pairs: tuple[KeypointPair, ...]
    said: Mapping[str, str]
    problems: tuple[str, ...] = ()

    @property
    def images(self) -> list[str]:
        """Every image that a pair needs, once."""
        return list(dict.fromkeys(name for pair in self.pairs for name in pair.names))

    def only(self, categories: Sequence[str] | None) -> KeypointPairs:
        """The pairs of some categories; None keeps all. Raises InputError for unknown ones."""
        if categories is None:
            return self
        known = list(dict.fromkeys(pair.category for pair in self.pairs))
        unknown = [name for name in categories if name not in known]
        if unknown:
            raise InputError(
                f"no category {', '.join(unknown)} in {self.folder}; there are {', '.join(known)}"
            )
        chosen = tuple(pair for pair in self.pairs if pair.category in categories)
        return KeypointPairs(self.folder, self.layout, chosen, self.said, self.problems)


def read_pf_willow(folder: str | Path) -> KeypointPairs:
    """PF-WILLOW: `test_pairs.csv` with the names of two images, then the x and the y of ten
    keypoints of each. Raises MissingFileError and InputError for what it is not.
    """
    folder = _folder(folder)
    file = _file(folder / "test_pairs.csv", "PF-WILLOW")
    pairs = []
    with file.open(newline="", encoding="utf-8") as opened:
        for line, row in enumerate(csv.reader(opened), 1):
            if line == 1 and row[:1] == ["imageA"]:
                continue
            if len(row) != 2 + 4 * WILLOW_POINTS:
                raise InputError(
                    f"{file} has {len(row)} fields in line {line}, "
                    f"expected {2 + 4 * WILLOW_POINTS}: two names and ten keypoints of each image"
                )
            x0, y0, x1, y1 = _numbers(row[2:], f"{file}, line {line}").reshape(4, WILLOW_POINTS)
            names = (row[0], row[1])
            stems = [PurePosixPath(name).stem for name in names]
            pairs.append(
                KeypointPair(
                    names,
                    PurePosixPath(names[0]).parent.name,
                    "-".join(stems),
                    np.stack([x0, y0], 1),
                    np.stack([x1, y1], 1),
                )
            )
    # motorbike(G) and motorbike(S) are one kind of object
    said = {pair.category: pair.category.partition("(")[0] for pair in pairs}
    return KeypointPairs(folder, "PF-WILLOW", tuple(pairs), said)


def read_spair(folder: str | Path) -> KeypointPairs:
    """SPair-71k: `PairAnnotation/test/*.json` and `JPEGImages/<category>`; the list of
    `Layout/large/test.txt` where there is one. Raises MissingFileError and InputError.
    """
    folder = _folder(folder)
    annotations = folder / "PairAnnotation" / "test"
    if not annotations.is_dir():
        raise MissingFileError(
            f"no {annotations}; expected SPair-71k as published: PairAnnotation/test/*.json and "
            "JPEGImages/<category>/"
        )
    # the official name of a pair has a colon, which some archives replace
    files = sorted(annotations.glob("*.json"))
    listed = folder / "Layout" / "large" / "test.txt"
    problems: list[str] = []
    if listed.is_file():
        wanted = [line for line in listed.read_text(encoding="utf-8").split() if line]
        found = {file.stem for file in files}
        lost = [name for name in wanted if name not in found]
        problems += [f"pair {name} of {listed.name} has no annotation" for name in lost]
        files = [annotations / f"{name}.json" for name in wanted if name in found]
    pairs = tuple(_spair(file) for file in files)
    said = {pair.category: pair.category for pair in pairs}
    return KeypointPairs(folder, "SPair-71k, test", pairs, said, tuple(problems))


def _spair(file: Path) -> KeypointPair:
    try:
        plain = parse_json(file.read_bytes())
        category = str(plain["category"])
        below = PurePosixPath("JPEGImages", category)
        names = (str(below / plain["src_imname"]), str(below / plain["trg_imname"]))
        x0, y0, x1, y1 = (float(number) for number in plain["trg_bndbox"])
        xy0, xy1 = _points(plain["src_kps"]), _points(plain["trg_kps"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no annotation of an SPair-71k pair: {error!r}") from error
    label = file.stem.partition(":")[0]
    return KeypointPair(names, category, label, xy0, xy1, (x0, y0, x1, y1))


def read_cub(folder: str | Path) -> KeypointPairs:
    """CUB-200-2011: `images.txt`, `bounding_boxes.txt`, `parts/part_locs.txt`, `images/`, and
    `splits/*.txt`, lists of images (one name a line, as `images.txt` has them) of which every
    ordered pair is scored; a split is a category. Only parts visible in both images count.
    """
    folder = _folder(folder)
    splits = sorted((folder / "splits").glob("*.txt"))
    if not splits:
        raise MissingFileError(
            f"no splits/*.txt in {folder}; expected lists of images to pair, one name a line "
            "(the paper takes 14 splits of 25 images)"
        )
    ids = {name: number for number, name in _table(folder / "images.txt", 2)}
    boxes = {row[0]: row[1:] for row in _table(folder / "bounding_boxes.txt", 5)}
    parts: dict[str, dict[str, list[str]]] = {}
    for image, part, *place in _table(folder / "parts" / "part_locs.txt", 5):
        parts.setdefault(image, {})[part] = place
    pairs = []
    for file in splits:
        names = file.read_text(encoding="utf-8").split()
        lost = [name for name in names if name not in ids]
        if lost:
            raise InputError(f"{file} names {lost[0]}, which images.txt does not have")
        for name0, name1 in permutations(names, 2):
            pair = _cub(name0, name1, file.stem, ids, boxes, parts)
            pairs.append(pair)
    said = {file.stem: "bird" for file in splits}
    return KeypointPairs(folder, "CUB-200-2011", tuple(pairs), said)


def _cub(
    name0: str,
    name1: str,
    split: str,
    ids: Mapping[str, str],
    boxes: Mapping[str, Sequence[str]],
    parts: Mapping[str, Mapping[str, Sequence[str]]],
) -> KeypointPair:
    own0, own1 = parts.get(ids[name0], {}), parts.get(ids[name1], {})
    both = [p for p in own0 if own0[p][2] == "1" and own1.get(p, ("", "", "0"))[2] == "1"]
    x, y, w, h = _numbers(boxes[ids[name1]], f"the box of {name1}").tolist()
    return KeypointPair(
        (f"images/{name0}", f"images/{name1}"),
        split,
        f"{PurePosixPath(name0).stem}-{PurePosixPath(name1).stem}",
        _points([[float(n) for n in own0[part][:2]] for part in both]),
        _points([[float(n) for n in own1[part][:2]] for part in both]),
        (x, y, x + w, y + h),
    )


def _table(file: Path, columns: int) -> Iterator[list[str]]:
    text = _file(file, "CUB-200-2011").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if len(fields) != columns:
            raise InputError(f"{file} has {len(fields)} words in line {number}, expected {columns}")
        yield fields


def _points(plain: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(plain, np.float64).reshape(-1, 2)


def _numbers(texts: Sequence[str], where: str) -> NDArray[np.float64]:
    try:
        found = np.array([float(text) for text in texts])
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if not np.isfinite(found).all():
        raise InputError(f"{where} holds a number that is not finite")
    return found


def _folder(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise NotAFolderError(f"{folder} is no folder")
    return Path(folder)


def _file(file: Path, layout: str) -> Path:
    if not file.is_file():
        raise MissingFileError(f"no {file}; expected the layout of {layout}")
    return file
