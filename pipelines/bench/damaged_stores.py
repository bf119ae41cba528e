"""Stores whose bytes are damaged: what is read, and what a run does that finds them.

A part of `faults.py`, which has the command line. Knows nothing of kills.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from dift_geo.engine import loops
from dift_geo.errors import DiftGeoError, MissingFileError
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import list_images
from dift_geo.pairs.lists import exhaustive_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.source import Source

__all__ = ["KEYPOINTS", "Values", "damage", "in_child", "values_in"]

KEYPOINTS = 300
TIMEOUT = 10  # seconds that reading damaged files may take
Values = dict[str, bytes]  # of a store: a hash of all arrays of a group
HOW = ("bit", "bits", "truncated", "zeros", "noise", "longer")
RIGHT, REFUSED, WRONG = 0, 1, 2  # what became of reading


def values_in(path: Path, store: type[FeatureStore | MatchStore]) -> Values:
    """A hash of every value of a store by its key; empty where there is no store yet."""
    try:
        opened = store(path)
    except MissingFileError:  # a kill before the first value may leave an empty folder of shards
        return {}
    with opened:
        return {str(key): sha256(repr(_plain(opened[key])).encode()).digest() for key in opened}


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    names = getattr(type(value), "__slots__", ())
    return [_plain(getattr(value, name)) for name in names] or value


def in_child(work: Callable[[], int], kill_after: float | None = None) -> int:
    """Run in a fork: its exit code, or the negative of the signal that ended it."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = work()
        finally:
            sys.stdout.flush()
            os._exit(code)
    deadline = time.monotonic() + (TIMEOUT * 10 if kill_after is None else kill_after)
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    return os.waitstatus_to_exitcode(done[1])


def damaged(data: bytes, how: str, draw: random.Random) -> bytes:
    """The bytes of a file after an accident."""
    at = draw.randrange(len(data))
    if how == "truncated":
        return data[:at]
    if how == "longer":
        return data + draw.randbytes(draw.randrange(1, 5000))
    broken = bytearray(data)
    if how.startswith("bit"):
        for _ in range(1 if how == "bit" else 20):
            broken[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    else:
        size = min(draw.choice([16, 512, 4096]), len(data) - at)
        broken[at : at + size] = bytes(size) if how == "zeros" else draw.randbytes(size)
    return bytes(broken)


class Stores:
    """Features, half of them in a shard, and matches, as an interrupted run leaves them."""

    def __init__(self, photos: Path, out: Path) -> None:
        self.photos, self.out = photos, out
        self.names = list_images(photos)
        self.extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=KEYPOINTS).build()
        self.features, self.matches = out / "features.h5", out / "matches.h5"

    def make(self) -> None:
        """Make them, and remember what they hold."""
        for half in (self.names[::2], self.names):
            with FeatureStore(self.features, self.extractor.recipe()) as store:
                loops.extract_images(self.photos, half, self.extractor, self.out / "all.h5")
                with FeatureStore(self.out / "all.h5") as whole:
                    for name in set(half) - set(store):
                        store.put(name, whole[name], Source.of(self.photos / name))
                if half is not self.names:
                    store.merge()
        loops.match_pairs(self.features, exhaustive_pairs(self.names), self.matches)
        (self.out / "all.h5").unlink()
        self.right = self.values()

    def values(self) -> tuple[Values, Values]:
        """What they hold."""
        return values_in(self.features, FeatureStore), values_in(self.matches, MatchStore)

    def go_on(self) -> None:
        """What a run does that finds them."""
        loops.extract_images(self.photos, self.names, self.extractor, self.features)
        loops.match_pairs(self.features, exhaustive_pairs(self.names), self.matches)

    def files(self) -> list[Path]:
        """All files of both stores."""
        return sorted(path for path in self.out.rglob("*.h5") if path.is_file())

    def outcome(self, file: Path, work: Callable[[], object]) -> int:
        """Do it in a fork: RIGHT or REFUSED in one line that names the file, else WRONG or worse.

        Names of images and pairs are part of what they hold, and so is the lack of one.
        """

        def judged() -> int:
            signal.alarm(TIMEOUT)
            try:
                work()
                return RIGHT if self.values() == self.right else WRONG
            except DiftGeoError as error:
                clear = "\n" not in str(error) and file.name in str(error)
                return REFUSED if clear else WRONG

        return in_child(judged)


def damage(photos: Path, scratch: Path, trials: int, seed: int) -> Counter[str]:
    """Damage one file of the stores; what came of it, by kind."""
    draw = random.Random(seed)
    whole = Stores(photos, scratch / "whole")
    whole.out.mkdir()
    whole.make()
    counts: Counter[str] = Counter()
    for trial in range(trials):
        out = scratch / f"damaged{trial}"
        shutil.copytree(whole.out, out)
        stores = Stores(photos, out)
        stores.right = whole.right
        file, how = draw.choice(stores.files()), HOW[trial % len(HOW)]
        file.write_bytes(damaged(file.read_bytes(), how, draw))
        problem = one_damage(stores, file, counts)
        if problem:
            counts[f"PROBLEM: {problem}"] += 1
            print(f"trial {trial}: {how} {file}: {problem}")
        else:
            shutil.rmtree(out)
    return counts


def one_damage(stores: Stores, file: Path, counts: Counter[str]) -> str | None:
    """What is wrong with how a damaged file is taken."""
    before = {path: path.read_bytes() for path in stores.files()}
    read = stores.outcome(file, lambda: None)
    counts[{RIGHT: "read right", REFUSED: "refused in one line"}.get(read, f"code {read}")] += 1
    if read not in (RIGHT, REFUSED):
        return f"reading ends with {read}"
    if {path: path.read_bytes() for path in stores.files()} != before:
        return "reading changes files"
    went_on = stores.outcome(file, stores.go_on)
    counts["a run goes on" if went_on == RIGHT else "a run refuses"] += 1
    if went_on not in (RIGHT, REFUSED):
        return f"a run ends with {went_on}"
    if went_on == REFUSED:
        file.unlink()
        mended = stores.outcome(file, stores.go_on)
        if mended != RIGHT:
            return f"deleting the file and running again ends with {mended}"
        counts["mended by deleting that file and running again"] += 1
    return None
