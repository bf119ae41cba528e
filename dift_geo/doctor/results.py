"""What a reconstruction left: database, models, summary, projections, and whose they are.

A database is read with SQL alone, which changes nothing of it. Models are read by COLMAP in a
process of its own, as it may end the one that gives it a damaged file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from dift_geo.colmap.workspace import Workspace
from dift_geo.detectors.colmap_database import (
    ColmapDatabase,
    connect,
    read_database,
    sqlite_errors,
)
from dift_geo.dift.projection import Projection
from dift_geo.doctor.finding import Finding, Findings
from dift_geo.doctor.stores import is_store_there
from dift_geo.errors import DiftGeoError, InputError, StoreError
from dift_geo.images import content_hash
from dift_geo.jsonfiles import parse_json
from dift_geo.store.features import FeatureStore

__all__ = [
    "examine_database",
    "examine_models",
    "examine_owner",
    "examine_projections",
    "examine_summary",
]

READ_MODEL = (
    "import json, sys, pycolmap; model = pycolmap.Reconstruction(sys.argv[1]); "
    "error = model.compute_mean_reprojection_error(); "
    "print(json.dumps([model.num_reg_images(), model.num_points3D(), round(error, 4)]))"
)
MODEL_FILES = ("images.bin", "images.txt")
SECONDS = 120  # of reading one model


def examine_owner(out: Path) -> list[Finding]:
    """Whether the results are ours, so that the next run may replace them."""
    found = Findings("owner")
    try:
        Workspace(out)
    except InputError as error:
        found.note(str(error))
    return found.found


def examine_database(path: Path, features: Path) -> list[Finding]:
    """What a COLMAP database holds, and whether its keypoints are those of the features."""
    found = Findings(path.name)
    with found.errors():
        version, verified = _pragmas(path)
        with read_database(path) as database:
            ids = database.image_ids()
            counts, problems = _keypoint_counts(database, ids)
            pairs = database.pairs()
            problems += _wrong_matches(
                database, pairs, {ids[name]: n for name, n in counts.items()}
            )
        summary = (
            f"{len(ids)} images, {sum(counts.values())} keypoints, {len(pairs)} pairs, "
            f"{verified} of them verified; schema {version}"
        )
        found.broken(summary) if problems else found.ok(summary)
        found.examples(problems)
        if is_store_there(features):
            with FeatureStore(features) as store:
                _compare(found, counts, store)
    return found.found


def _pragmas(path: Path) -> tuple[str, int]:
    """COLMAP's version in the file, and how many pairs are verified. Raises StoreError."""
    with closing(connect(path)) as sql, sqlite_errors(path):
        (version,) = sql.execute("PRAGMA user_version").fetchone()
        (state,) = sql.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise StoreError(
                f"{path} is damaged ({state}); restore it from a copy or make it again"
            )
        tables = {name for (name,) in sql.execute("SELECT name FROM sqlite_master")}
        verified = 0
        if "two_view_geometries" in tables:
            counting = "SELECT COUNT(*) FROM two_view_geometries WHERE rows > 0"
            (verified,) = sql.execute(counting).fetchone()
    return str(version), int(verified)


def _keypoint_counts(
    database: ColmapDatabase, ids: dict[str, int]
) -> tuple[dict[str, int], list[str]]:
    counts, problems = {}, []
    for name, image_id in ids.items():
        try:
            rows = database.keypoints(image_id)
            counts[name] = 0 if rows is None else len(rows)
            database.size_wh(image_id)
        except InputError as error:
            problems.append(str(error))
            counts.setdefault(name, 0)
    return counts, problems


def _wrong_matches(
    database: ColmapDatabase, pairs: list[tuple[int, int]], counts: dict[int, int]
) -> list[str]:
    problems = []
    for pair in pairs:
        try:
            rows = database.matches(*pair)
            known = np.array([counts.get(image_id, 0) for image_id in pair])
            if len(rows) and (rows.shape[1] != 2 or (rows.max(axis=0) >= known).any()):
                problems.append(f"matches of images {pair} point beyond their keypoints")
        except InputError as error:
            problems.append(str(error))
    return problems


def _compare(found: Findings, counts: dict[str, int], features: FeatureStore) -> None:
    strangers = [name for name in counts if name not in features]
    if strangers:
        found.note(f"{len(strangers)} images are not in {features.path.name}: {strangers[0]!r}")
    other = [name for name in counts if name in features and features.count(name) != counts[name]]
    if other:
        found.note(
            f"{len(other)} images have other keypoints than in {features.path.name}: {other[0]!r}"
        )


def examine_models(folder: Path) -> list[Finding]:
    """The models below a folder: as it is, and in numbered folders."""
    found: list[Finding] = []
    models = list(_models(folder))
    well: dict[str, str] = {}  # what is read already, by its content: the best one lies twice
    for model in models:
        name, content = model.relative_to(folder.parent).as_posix(), _content(model)
        if content in well:
            same = Findings(name)
            same.ok(f"the same as {well[content]}")
            found += same.found
            continue
        made = _examine_model(model, name)
        found += made
        if all(finding.state == "ok" for finding in made):
            well[content] = name
    if not models:
        nothing = Findings(folder.name)
        nothing.broken("holds no model; run again, or delete the folder")
        found += nothing.found
    return found


def _models(folder: Path) -> Iterator[Path]:
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if any((place / file).is_file() for file in MODEL_FILES):
            yield place


def _content(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return " ".join(f"{path.name} {content_hash(path)}" for path in files)


def _examine_model(folder: Path, name: str) -> list[Finding]:
    found = Findings(name)
    command = [sys.executable, "-c", READ_MODEL, str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        found.note(f"is not read within {SECONDS} s")
        return found.found
    try:
        registered, points, error = parse_json(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines() or [f"COLMAP ends with {done.returncode}"]
        found.broken(f"cannot be read ({lines[-1]}); run again")
        return found.found
    numbers = f"{registered} images, {points} points, {error} px reprojection error"
    if not registered or not np.isfinite(error):
        found.broken(f"{numbers}: no model that can be used; run again")
    else:
        found.ok(numbers)
    return found.found


def examine_summary(path: Path) -> list[Finding]:
    """Whether the summary of a run can be read."""
    found = Findings(path.name)
    try:
        summary = parse_json(path.read_bytes())
        line = f"{summary['registered']} of {summary['images']} images, {summary['points']} points"
        found.ok(f"{line}, by dift-geo {summary['dift_geo']}")
        if summary.get("skipped"):
            found.note(f"skipped: {', '.join(summary['skipped'][:3])}")
    except OSError as error:
        found.broken(f"cannot be read: {error.strerror or error}")
    except ValueError as error:
        found.broken(f"is damaged ({error}); run again")
    except (LookupError, TypeError):
        found.note("was not written by dift-geo")
    return found.found


def examine_projections(folder: Path, pattern: str = "*.safetensors") -> list[Finding]:
    """The projections that lie in a folder; files of other models there are passed over."""
    found = []
    for path in sorted(folder.glob(pattern)):
        here = Findings(path.name)
        try:
            projection = Projection.load(path)
            here.ok(f"projection of {projection.input_dim} numbers to {projection.dim}")
        except DiftGeoError as error:
            if not _is_other_model(path):
                here.broken(str(error))
        found += here.found
    return found


def _is_other_model(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            return not {"mean", "matrix"} & set(file.keys())
    except (SafetensorError, OSError):
        return False
