"""COLMAP databases: whole ones, what may stand in one, and what reading one gives.

A part of `fuzz.py`, which has the command line.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from mutations import mutate_binary
from PIL import Image

from dift_geo.colmap.exchange import export_database, import_database
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches

__all__ = ["NAMES", "make_database", "mutate_database", "read_database"]

NAMES = ["a.png", "b c.png", "sub/d.png", "sub/#e.png", "übung.png"]


def make_database(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    photos = folder / "photos"
    with FeatureStore(folder / "f.h5", {"by": "fuzz"}) as store:
        for name in NAMES:
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((47, 61, 3), 99, np.uint8)).save(photos / name)
            xy = random.uniform(0, 40, (30, 2))
            store[name] = Features(Keypoints(xy, np.ones(30), (61, 47)), random.random((30, 128)))
        store.merge()
    pairs = [(NAMES[0], name) for name in NAMES[1:]]
    with MatchStore(folder / "m.h5", {"by": "fuzz"}) as matched:
        for pair in pairs:
            index = np.arange(20)
            matched.put(pair, Matches(np.stack([index, index[::-1]], 1), np.ones(20)), 30)
        matched.merge()
    stores = folder / "f.h5", pairs, folder / "m.h5"
    export_database(folder / "database.db", photos, *stores)
    return [folder / "database.db"]


SQL = (
    "UPDATE images SET name = '../../escaped.png' WHERE image_id = 1",
    "UPDATE images SET name = '/escaped.png' WHERE image_id = 1",
    "UPDATE images SET name = '' WHERE image_id = 1",
    "UPDATE images SET name = x'fffe00' WHERE image_id = 1",
    "UPDATE images SET camera_id = 99",
    "UPDATE cameras SET width = -5",
    "UPDATE cameras SET width = 1e30",
    "UPDATE cameras SET params = NULL",
    "UPDATE keypoints SET rows = -1",
    "UPDATE keypoints SET rows = 4000000000",
    "UPDATE keypoints SET cols = 3, rows = 20",
    "UPDATE keypoints SET data = NULL",
    "UPDATE keypoints SET data = 'text'",
    "UPDATE keypoints SET rows = 'many'",
    "UPDATE matches SET pair_id = 5",
    "UPDATE matches SET pair_id = -7",
    "UPDATE matches SET data = NULL",
    "UPDATE matches SET rows = NULL",
    "UPDATE keypoints SET rows = -5, cols = -4",
    "UPDATE cameras SET height = 1 << 62",
    "DELETE FROM cameras",
    "DROP TABLE matches",
    "DROP TABLE images",
    "DROP TABLE images; CREATE VIEW images AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL "
    "SELECT n + 1 FROM t) SELECT n AS image_id, 'x' || n AS name, 1 AS camera_id FROM t",
    "PRAGMA user_version = 2147483647",
)


def mutate_database(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.5:
        return mutate_binary(data, draw)
    with closing(sqlite3.connect(":memory:")) as changed:
        changed.deserialize(data[:18] + b"\1\1" + data[20:])  # one in memory has no log
        with suppress(sqlite3.Error):
            changed.executescript(draw.choice(SQL))
        return changed.serialize()


def read_database(path: Path, out: Path) -> object:
    """What is imported; then our matches go back into it, which leaves it as it was or whole."""
    before = path.read_bytes()
    found = import_database(path, out / "f.h5", out / "m.h5")
    with FeatureStore(out / "f.h5") as store, MatchStore(out / "m.h5") as matches:
        values = [found, {name: store[name] for name in store}]
        pairs = {" ".join(pair): matches[pair].pairs for pair in matches}
    samples = path.parent
    chosen = [(NAMES[0], name) for name in NAMES[1:]]
    try:
        export_database(path, samples / "photos", samples / "f.h5", chosen, samples / "m.h5")
    except Exception:
        assert path.read_bytes() == before, "a refused export has changed the database"
        raise
    return [*values, pairs]
