"""COLMAP's own files: its database and the text files of its feature and match importers, in and
out.

For people whose project is a COLMAP database: their features come in (`import_database`), our
matches go out (`export_database`, `export_text`). Runs neither extraction nor matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import CameraMode
from dift_geo.colmap.database import build_database, import_features, import_matches
from dift_geo.detectors.colmap import HALF_PIXEL, ColmapKeypoints, open_database
from dift_geo.errors import InputError
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Matches

__all__ = ["export_database", "export_text", "import_database"]

Pair = tuple[str, str]
SIFT_NORM = 512.0  # of the bytes COLMAP stores a unit SIFT descriptor in


def import_database(
    database: str | Path, features: str | Path, matches: str | Path | None = None
) -> tuple[int, int]:
    """A COLMAP database -> our features store and, where asked, matches store; returns counts of
    images and pairs.

    Descriptors are COLMAP's bytes as unit rows, empty rows (N, 0) where it has none. Images without
    keypoints are passed over. Raises FileNotFoundError when there is no database.
    """
    detector = ColmapKeypoints(Path(database))
    recipe = {"colmap": detector.recipe()}
    with open_database(database) as source, FeatureStore(features, recipe) as store:
        names = {
            image.image_id: image.name
            for image in source.read_all_images()
            if source.exists_keypoints(image.image_id)
        }
        counts = {}
        for image_id, name in names.items():
            keypoints = detector.keypoints_of(name)
            counts[image_id] = len(keypoints)
            store[name] = Features(keypoints, _unit_rows(source, image_id, len(keypoints)))
        store.merge()
        pairs = 0 if matches is None else _import_matches(source, matches, recipe, names, counts)
    return len(names), pairs


def _import_matches(
    source: Any,
    path: str | Path,
    recipe: dict[str, Any],
    names: dict[int, str],
    counts: dict[int, int],
) -> int:
    import pycolmap

    with MatchStore(path, recipe | {"matcher": "colmap"}) as store:
        found = list(zip(*source.read_all_matches()))
        for pair_id, rows in found:
            id0, id1 = pycolmap.pair_id_to_image_pair(pair_id)
            store.put(
                (names[id0], names[id1]), Matches(rows, np.ones(len(rows), np.float32)), counts[id0]
            )
        store.merge()
    return len(found)


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
    """Stores -> a COLMAP database: a new one, or matches into the one at `path` when the features
    are of its keypoints.

    verified: write the matches as geometrically verified, too. An existing database keeps its
    cameras, keypoints and other pairs; pairs named here are replaced. Raises ValueError when its
    keypoints are not those of the features.
    """
    with FeatureStore(features) as found, MatchStore(matches) as matched:
        if Path(path).is_file():
            ids = _ids_with_same_keypoints(path, found, pairs)
            _forget_pairs(path, [(ids[a], ids[b]) for a, b in pairs])
        else:
            names = sorted({name for pair in pairs for name in pair})
            ids = build_database(
                path, images, names, camera_mode=camera_mode, camera_model=camera_model
            )
            import_features(path, ids, found)
        import_matches(path, ids, pairs, matched, verified=verified)


def export_text(
    folder: str | Path,
    features: str | Path,
    pairs: Sequence[Pair] = (),
    matches: str | Path | None = None,
) -> None:
    """Stores -> text: `FOLDER/features/NAME.txt` for COLMAP's feature_importer,
    `FOLDER/matches.txt` for matches_importer.

    Lines of features are `X Y SCALE ORIENTATION D_1 ... D_128`. Descriptors that COLMAP can hold,
    128 numbers none of them negative as in RootSIFT, go out as its bytes; of others zeros stand in,
    for use with the matches. Keypoints without scale and angle get 1 and 0.
    """
    folder = Path(folder)
    with FeatureStore(features) as found:
        for name in found:
            _refuse_spaces(name)
            target = folder / "features" / f"{name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_feature_lines(found[name]), encoding="utf-8")
    if matches is not None:
        with MatchStore(matches) as matched:
            blocks = [
                f"{name0} {name1}\n" + "".join(f"{i} {j}\n" for i, j in matched[name0, name1].pairs)
                for name0, name1 in pairs
            ]
        (folder / "matches.txt").write_text("\n".join(blocks), encoding="utf-8")


def _feature_lines(features: Features) -> str:
    k = features.keypoints
    ones = np.ones(len(k), np.float32)
    shape = np.stack(
        [ones if k.scale is None else k.scale, 0 * ones if k.angle is None else k.angle], 1
    )
    numbers = np.concatenate([k.xy + HALF_PIXEL, shape], 1)
    rows = [
        # nine digits carry every float32
        " ".join([*(f"{value:.9g}" for value in row), *map(str, code)])
        for row, code in zip(numbers.tolist(), _sift_bytes(features.descriptors).tolist())
    ]
    return "".join(f"{line}\n" for line in [f"{len(k)} 128", *rows])


def _sift_bytes(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 128) bytes as COLMAP stores SIFT; zeros for descriptors that do not fit them."""
    if descriptors.shape[1] != 128 or (descriptors < 0).any():
        return np.zeros((len(descriptors), 128), np.uint8)
    return (SIFT_NORM * descriptors).round().clip(0, 255).astype(np.uint8)


def _unit_rows(source: Any, image_id: int, count: int) -> NDArray[np.float32]:
    stored = source.read_descriptors(image_id) if source.exists_descriptors(image_id) else None
    if stored is None or len(stored.data) != count:
        return np.zeros((count, 0), np.float32)
    rows = stored.data.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _ids_with_same_keypoints(
    path: str | Path, features: FeatureStore, pairs: Sequence[Pair]
) -> dict[str, int]:
    """Image ids of a database whose keypoints are row by row those of the features, to a hundredth
    of a pixel.
    """
    with open_database(path) as database:
        ids = {image.name: image.image_id for image in database.read_all_images()}
        for name in sorted({name for pair in pairs for name in pair}):
            if name not in ids:
                raise InputError(
                    f"{name!r} is not in {path}; choose a new file to have the images added"
                )
            ours = features[name].keypoints.xy
            theirs = database.read_keypoints(ids[name])[:, :2] - HALF_PIXEL
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0, atol=1e-2):
                raise InputError(
                    f"{path} has {len(theirs)} other keypoints for {name!r} than the {len(ours)} features; extract with "
                    f"--detector colmap:{path}, or choose a new file"
                )
    return ids


def _forget_pairs(path: str | Path, pairs: Sequence[tuple[int, int]]) -> None:
    with open_database(path) as database:
        for id0, id1 in pairs:
            if database.exists_matches(id0, id1):
                database.delete_matches(id0, id1)
            if database.exists_two_view_geometry(id0, id1):
                database.delete_two_view_geometry(id0, id1)


def _refuse_spaces(name: str) -> None:
    if any(character.isspace() for character in name):
        raise InputError(
            f"{name!r} holds a space, which COLMAP's text files cannot tell from a separator; export a database"
        )
