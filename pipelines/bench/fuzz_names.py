"""Names of images that mean harm or are only unusual, through every command that meets names.

A part of `fuzz.py`, which has the command line. In a folder of photos, in a file of features that
another program wrote, and in a COLMAP database. A command does its work or says in one line what
is wrong with a name; nothing appears outside its folders, and what was written is read back.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from dift_geo.cli.main import main as dift_geo
from dift_geo.colmap.exchange import export_database
from dift_geo.pairs.lists import read_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches

__all__ = ["NAMES", "fuzz_names"]

NAMES = (
    *("../escaped.png", "../../escaped.png", "a/../../../escaped.png", "{root}/escaped.png"),
    *("..", ".", "", "/", "a//b.png", "./a.png", "a/./b.png", "a/", "~/escaped.png"),
    *("a\nb.png", "a\tb.png", "a\rb.png", "a\x1b[31mb.png", "a\x7f.png", "a\0b.png"),
    *(" lead.png", "trail.png ", "two  spaces.png", "#hash.png", '"quoted".png', "'q'.png"),
    *(
        "-dash.png",
        "--help",
        "a\\b.png",
        "..\\escaped.png",
        "a:b.png",
        "CON.png",
        "*.png",
        "a;b.png",
    ),
    *(
        "x" * 200 + ".png",
        "x" * 300 + ".png",
        "/".join(["d"] * 60) + "/a.png",
        "$(touch escaped).png",
    ),
    *("übung.png", "u\u0308bung.png", "\u202egnp.png", "\u2028.png", "日本.png", "a\udcff.png"),
    *("0.5.png", "1 2.png", "a.png 0.5", "a.PNG", "%s.png", "{0}.png", "a.png\u00a0"),
)
SECONDS = 60
FLAGS = ("--descriptor", "rootsift", "--max-keypoints", "60")


def fuzz_names(scratch: Path, names: Sequence[str] = NAMES) -> Counter[str]:
    """Every name in every place; what came of it."""
    counts: Counter[str] = Counter()
    for number, name in enumerate(names):
        for place in (in_photos, in_features, in_database):
            root = scratch / f"{place.__name__}{number}" / "below" / "root"
            root.mkdir(parents=True)
            told = name.replace("{root}", str(root.parent))
            problems = list(place(root, told, counts))
            inside = root / "photos", root / "text" / "features"
            escaped = [p for p in scratch.rglob("*escaped*") if not {*inside} & {*p.parents}]
            problems += [f"written outside: {path}" for path in escaped]
            for problem in problems:
                counts["wrong"] += 1
                print(f"names, {place.__name__} {told!r}: {problem}", flush=True)
            shutil.rmtree(root.parents[1])
    print(f"names: {dict(counts)}", flush=True)
    return counts


def _command(root: Path, counts: Counter[str], *words: object) -> Iterator[str]:
    """Run a command line in a fork; what is wrong with how it ends."""
    said = root / "said"
    pid = os.fork()
    if not pid:
        code = 99
        try:
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            code = dift_geo([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = said.read_text(encoding="utf-8", errors="replace")
    counts["done" if code in (0, 3) else "refused"] += 1
    if code not in (0, 1, 3) or "defect of dift-geo" in text or "Traceback" in text:
        yield f"{words[0]} ends with {code}: {text[-300:]}"


def _photo(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(noise).resize((128, 96)).save(path, "PNG")


def in_photos(root: Path, name: str, counts: Counter[str]) -> Iterator[str]:
    """Photos of this name, where the system can have them, through all steps."""
    photos, f, p, m = (root / word for word in ("photos", "f.h5", "p.txt", "m.h5"))
    photos.mkdir()
    for seed in range(2):
        _photo(photos / f"plain{seed}.png", seed)
    try:
        if (photos / name).resolve().is_relative_to(photos.resolve()):
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            _photo(photos / name, 3)
    except (OSError, ValueError):
        counts["no name of a file"] += 1
        return
    yield from _command(root, counts, "extract", photos, f, *FLAGS)
    if not f.exists():
        return
    yield from _command(root, counts, "pairs", f, p)
    yield from _command(root, counts, "match", f, p, m)
    with FeatureStore(f) as store:
        names = list(store)
    if p.exists() and len(read_pairs(p, names)) != len(names) * (len(names) - 1) // 2:
        yield "pairs writes what match does not read"
    if m.exists():
        yield from _command(root, counts, "export", f, p, m, "--text", root / "text")
        words = ("--database", root / "new.db", "--images", photos)
        yield from _command(root, counts, "export", f, p, m, *words)


def in_features(root: Path, name: str, counts: Counter[str]) -> Iterator[str]:
    """A file of features and one of matches that another program wrote."""
    photos, f, p, m = (root / word for word in ("photos", "f.h5", "p.txt", "m.h5"))
    photos.mkdir()
    _photo(photos / "plain.png", 0)
    try:
        with h5py.File(f, "w") as file:
            for group in ("plain.png", name):
                file.create_group(group)["keypoints"] = np.full((8, 2), 5.0)
                file[group]["descriptors"] = np.eye(8, dtype=np.float32)
                file[group]["image_size"] = np.array([128, 96])
    except (ValueError, OSError, UnicodeError):
        counts["no name of a group"] += 1
        return
    yield from _command(root, counts, "pairs", f, p)
    yield from _command(root, counts, "match", f, p, m)
    yield from _command(root, counts, "export", f, p, m, "--text", root / "text")
    words = ("--database", root / "new.db", "--images", photos)
    yield from _command(root, counts, "export", f, p, m, *words)
    yield from _command(root, counts, "reconstruct", photos, root / "out", "--features", f)
    yield from _command(root, counts, "doctor", root)


def in_database(root: Path, name: str, counts: Counter[str]) -> Iterator[str]:
    """A COLMAP database."""
    photos, f, m, database = (root / word for word in ("photos", "f.h5", "m.h5", "a.db"))
    photos.mkdir()
    for seed in range(2):
        _photo(photos / f"{seed}.png", seed)
    keypoints = Keypoints(np.full((4, 2), 9.0), np.ones(4), (128, 96))
    with FeatureStore(f, {"by": "fuzz"}) as store:
        for seed in range(2):
            store[f"{seed}.png"] = Features(keypoints, np.eye(4))
        store.merge()
    pair = ("0.png", "1.png")
    with MatchStore(m, {"by": "fuzz"}) as matches:
        matches.put(pair, Matches(np.zeros((1, 2), int), np.ones(1)), 4)
        matches.merge()
    export_database(database, photos, f, [pair], m)
    try:
        with closing(sqlite3.connect(database)) as sql:
            sql.execute("UPDATE images SET name = ? WHERE name = '1.png'", (name,))
            sql.commit()
    except (sqlite3.Error, UnicodeError):
        counts["no name in a database"] += 1
        return
    g, n = root / "imported.h5", root / "matched.h5"
    yield from _command(root, counts, "import", database, g, "--matches", n)
    if g.exists() and n.exists():
        yield from _command(root, counts, "pairs", g, root / "p.txt")
        words = ("--text", root / "text")
        yield from _command(root, counts, "export", g, root / "p.txt", n, *words)
