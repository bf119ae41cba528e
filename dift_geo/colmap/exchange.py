"""COLMAP's own files: its database and the text files of its importers, in and out.

For people whose project is a COLMAP database: their features come in (`import_database`), our
matches go out (`export_database`, `export_text`). Runs neither extraction nor matching.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import CameraMode
from dift_geo.colmap.database import build_database, import_features, import_matches
from dift_geo.colmap.doors import check_photos
from dift_geo.colmap.opened import opened
from dift_geo.colmap.records import COMPANIONS
from dift_geo.colmap.transaction import one_transaction, replace_pairs
from dift_geo.detectors.colmap import ColmapKeypoints
from dift_geo.detectors.colmap_database import ColmapDatabase, read_database
from dift_geo.errors import InputError
from dift_geo.frames import from_colmap, to_colmap
from dift_geo.recipe import write_whole
from dift_geo.store.check import check_pair
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, FeatureSource, Matches, MatchSource, Pair

__all__ = ["export_database", "export_text", "import_database"]

SIFT_NORM = 512.0  # of the bytes COLMAP stores a unit SIFT descriptor in
SAME_PX = 1e-2  # keypoints no farther apart are the same


# in


def import_database(
    database: str | Path, features: str | Path, matches: str | Path | None = None
) -> tuple[int, int]:
    """A COLMAP database -> our stores; returns counts of images and pairs.

    Descriptors are COLMAP's bytes as unit rows, empty rows (N, 0) where it has none. Images without
    keypoints are passed over.

    database: the file that COLMAP writes.
    features: gets the features.
    matches: gets the matches, if given.

    The database is not changed, whatever its version. Raises MissingFileError when there is none,
    and InputError or StoreError when it cannot be read or contradicts itself.
    """
    detector = ColmapKeypoints(Path(database))
    recipe = {"colmap": detector.recipe()}
    with read_database(database) as source, FeatureStore(features, recipe) as store:
        counts = {}
        for name, image_id in source.image_ids().items():
            if source.keypoints(image_id) is None:
                continue
            keypoints = detector.keypoints_of(name)
            counts[image_id] = name, len(keypoints)
            store[name] = Features(keypoints, _unit_rows(source, image_id, len(keypoints)))
        store.merge()
        pairs = 0
        if matches is not None:
            with MatchStore(matches, recipe | {"matcher": "colmap"}) as matched:
                pairs = _import_matches(source, matched, counts)
                matched.merge()
    return len(counts), pairs


def _import_matches(
    source: ColmapDatabase, store: MatchStore, counts: Mapping[int, tuple[str, int]]
) -> int:
    """counts: names and numbers of keypoints, by image id."""
    found = source.pairs()
    for ids in found:
        if not counts.keys() >= {*ids}:
            raise InputError(
                f"{source.path} has matches of images {ids[0]} and {ids[1]}, of which one has no "
                "keypoints; match it again with COLMAP"
            )
        if ids[0] == ids[1]:
            raise InputError(
                f"{source.path} has matches of image {ids[0]} with itself, expected two images; "
                "match it again with COLMAP"
            )
        (name0, count0), (name1, count1) = counts[ids[0]], counts[ids[1]]
        rows = source.matches(*ids)
        matches = Matches(rows.astype(np.int64), np.ones(len(rows), np.float32))
        try:
            check_pair(matches, count0, count1, (name0, name1))
        except InputError as error:
            raise InputError(f"{source.path}: {error}") from error
        store.put((name0, name1), matches, count0)
    return len(found)


def _unit_rows(source: ColmapDatabase, image_id: int, count: int) -> NDArray[np.float32]:
    stored = source.descriptors(image_id)
    if stored is None or len(stored) != count:
        return np.zeros((count, 0), np.float32)
    rows = stored.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


# out, to a database


def export_database(
    path: str | Path,
    images: str | Path,
    features: str | Path,
    pairs: Sequence[Pair],
    matches: str | Path,
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    verified: bool = False,
) -> None:
    """Stores -> a COLMAP database: a new one, or matches into one that has the same keypoints.

    path: the database. One that exists keeps its cameras, keypoints and other pairs; pairs named
        here are replaced, all at once.
    images: folder of the photos; not looked at where the database exists.
    features: store of the features that the matches are of.
    pairs: names of the images.
    matches: store of the matches.
    camera_mode: which images share a camera, in a new database.
    camera_model: one of COLMAP's, in a new database.
    verified: write the matches as geometrically verified, too.

    Raises InputError when the keypoints of the database are not those of the features, or matches
    do not fit them; StoreError while another program writes the database. It is then as it was.
    """
    path = Path(path)
    with FeatureStore(features) as found, MatchStore(matches) as matched:
        if not path.exists():
            check_photos(images, found, _named(pairs))
            with _published(path) as new:
                ids = build_database(
                    new, images, _named(pairs), camera_mode=camera_mode, camera_model=camera_model
                )
                import_features(new, ids, found)
                import_matches(new, ids, pairs, matched, verified=verified)
            return
        with read_database(path) as database:
            ids = _ids_with_same_keypoints(database, found, pairs)
        with TemporaryDirectory() as folder:
            made = Path(folder) / "matches.db"
            with opened(made):
                pass  # created
            counts = {name: found.count(name) for name in _named(pairs)}
            import_matches(made, ids, pairs, matched, verified=verified, counts=counts)
            with one_transaction(path) as sql:
                _ids_with_same_keypoints(ColmapDatabase(path, sql), found, pairs)
                replace_pairs(sql, [(ids[a], ids[b]) for a, b in pairs], made)


def _named(pairs: Sequence[Pair]) -> list[str]:
    """The images that pairs name, sorted."""
    return sorted(set(chain.from_iterable(pairs)))


@contextmanager
def _published(path: Path) -> Iterator[Path]:
    """The path of a new file that takes the name `path` at the end of the `with` block."""
    if path.is_symlink():
        raise InputError(
            f"{path} is a link to {path.readlink()}, which is not there; bring it back (its disk "
            "may not be mounted) or remove the link"
        )
    for end in COMPANIONS:
        left = path.with_name(f"{path.name}{end}")
        if left.exists():
            raise InputError(
                f"{left} is left of another database; remove it or choose another name"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".dift-geo-", dir=path.parent) as folder:
        yield Path(folder) / path.name
        if path.exists():
            raise InputError(f"{path} was made by another program meanwhile; run again")
        (Path(folder) / path.name).rename(path)


def _ids_with_same_keypoints(
    database: ColmapDatabase, features: FeatureSource, pairs: Sequence[Pair]
) -> dict[str, int]:
    """Image ids of a database whose keypoints are row by row those of the features."""
    ids = database.image_ids()
    for name in _named(pairs):
        if name not in ids:
            raise InputError(
                f"{name!r} is not in {database.path}; choose a new file to have the images added"
            )
        ours = features[name].keypoints.xy
        rows = database.keypoints(ids[name])
        theirs = np.zeros((0, 2)) if rows is None else from_colmap(rows[:, :2])
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0, atol=SAME_PX):
            raise InputError(
                f"{database.path} has {len(theirs)} other keypoints for {name!r} than the "
                f"{len(ours)} features; extract with --detector colmap:{database.path}, or choose "
                "a new file"
            )
    return ids


# out, to text


def export_text(
    folder: str | Path,
    features: str | Path,
    pairs: Sequence[Pair] = (),
    matches: str | Path | None = None,
) -> None:
    """Stores -> the text files that COLMAP's importers read.

    Lines of features are `X Y SCALE ORIENTATION D_1 ... D_128`. Descriptors that COLMAP can hold,
    128 numbers none of them negative as in RootSIFT, go out as its bytes; of others zeros stand in,
    for use with the matches. Keypoints without scale and angle get 1 and 0.

    folder: gets `features/NAME.txt` for feature_importer, `matches.txt` for matches_importer.
    features: store of all images.
    pairs: names of the images whose matches are written.
    matches: store of the matches; None writes features alone.

    Raises InputError, before anything is written, for an image whose name holds a space or leaves
    its folder.
    """
    folder = Path(folder)
    with FeatureStore(features) as found:
        for name in found:
            _refuse_as_file(name)
        for name in found:
            target = folder / "features" / f"{name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, _feature_lines(found[name]).encode())
    if matches is not None:
        with MatchStore(matches) as matched:
            blocks = [_match_lines(matched, pair) for pair in pairs]
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "matches.txt", "\n".join(blocks).encode())


def _match_lines(matches: MatchSource, pair: Pair) -> str:
    lines = [f"{i} {j}\n" for i, j in matches[pair].pairs]
    return "".join([f"{pair[0]} {pair[1]}\n", *lines])


def _feature_lines(features: Features) -> str:
    k = features.keypoints
    shape = np.tile(np.array([1, 0], np.float32), (len(k), 1))  # scale, orientation
    if k.scale is not None:
        shape[:, 0] = k.scale
    if k.angle is not None:
        shape[:, 1] = k.angle
    numbers = np.concatenate([to_colmap(k.xy), shape], 1)
    lines = [f"{len(k)} 128"]
    for row, code in zip(numbers.tolist(), _sift_bytes(features.descriptors).tolist()):
        words = [f"{value:.9g}" for value in row]  # nine digits carry every float32
        lines.append(" ".join([*words, *map(str, code)]))
    return "".join(f"{line}\n" for line in lines)


def _sift_bytes(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 128) bytes as COLMAP stores SIFT; zeros for descriptors that do not fit them."""
    if descriptors.shape[1] != 128 or (descriptors < 0).any():
        return np.zeros((len(descriptors), 128), np.uint8)
    return (SIFT_NORM * descriptors).round().clip(0, 255).astype(np.uint8)


def _refuse_as_file(name: str) -> None:
    """Refuse names that these files cannot hold, or that would be written outside their folder."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise InputError(f"{name!r} leaves its folder; expected names below one, rename the image")
    if any(character.isspace() for character in name):
        raise InputError(
            f"{name!r} holds a space, which COLMAP's text files cannot tell from a separator; "
            "export a database"
        )
