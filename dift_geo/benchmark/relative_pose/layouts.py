"""From a folder of data to its pairs, whatever layout it has. The only file that knows all."""

from __future__ import annotations

from pathlib import Path

from dift_geo.benchmark.relative_pose.data import Choice, PosedPairs, choose
from dift_geo.benchmark.relative_pose.lists import read_pair_list, read_views
from dift_geo.benchmark.relative_pose.loftr import read_megadepth, read_scannet
from dift_geo.benchmark.relative_pose.scenes import read_scenes
from dift_geo.errors import InputError, MissingFileError, NotAFolderError

__all__ = ["read_posed_pairs"]

TEXTS = ("pairs_calibrated.txt", "*pairs_with_gt*.txt")
ALL = Choice()
LAYOUTS = (
    "SCENE/images with SCENE/cameras_gt.txt or a COLMAP model, LoFTR's npz lists, SuperGlue's "
    "*_pairs_with_gt.txt, glue-factory's pairs_calibrated.txt or views.txt"
)


def read_posed_pairs(
    folder: str | Path, choice: Choice = ALL, *, pairs: str | Path | None = None
) -> PosedPairs:
    """The pairs of a folder that count.

    folder: the data; names of photos are relative to it.
    choice: which of them.
    pairs: the list, where it lies elsewhere or there are several: a text file, LoFTR's folder of
        archives or one of those.

    Raises NotAFolderError and MissingFileError for what is not there, InputError for a folder
    without a known layout and for lists that do not fit theirs.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotAFolderError(f"{root} is not a folder; expected {LAYOUTS}")
    found = _of_folder(root) if pairs is None else _of_list(root, Path(pairs))
    return choose(found, choice)


def _of_list(root: Path, path: Path) -> PosedPairs:
    if not path.exists():
        raise MissingFileError(f"no {path}; expected a list of pairs")
    if path.is_file() and path.suffix != ".npz":
        return read_pair_list(root, path)
    found = read_megadepth(root, path) or read_scannet(root, path)
    if found is None:
        raise InputError(f"{path} holds no list of pairs, expected LoFTR's npz or a text file")
    return found


def _of_folder(root: Path) -> PosedPairs:
    texts = sorted({path for pattern in TEXTS for path in root.glob(pattern)})
    if len(texts) > 1:
        names = ", ".join(path.name for path in texts)
        raise InputError(f"{root} holds several lists of pairs ({names}); name one with --pairs")
    if texts:
        return read_pair_list(root, texts[0])
    for read in (read_megadepth, read_scannet, read_views, read_scenes):
        found = read(root)
        if found is not None:
            return found
    raise InputError(f"{root} has no layout that is known, expected {LAYOUTS}")
