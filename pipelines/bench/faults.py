#!/usr/bin/env python3
"""Does anything get lost, done twice or believed though it is damaged?

    python pipelines/bench/faults.py kills --trials 100
    python pipelines/bench/faults.py damage --trials 300

kills: `extract`, `match` and `reconstruct` of rendered photos get `kill -9` at random moments. What
was finished then must be there afterwards, the same command must complete without doing any of it
again, and its results must be those of a run that nobody disturbed.

damage: bits of the stores are flipped, blocks overwritten, ends cut off. Reading gives the right
values or one line that names the file; so does a run that goes on with them, and where it refuses,
deleting the file that it names and running again mends everything. Nothing crashes, hangs or harms
a file that was whole.

Both end with figures and exit code 1 where something was not as it should be.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path

import cv2
import torch
from damaged_stores import KEYPOINTS, Values, damage, in_child, values_in

from dift_geo.cli.main import main as dift_geo
from dift_geo.engine import loops
from dift_geo.images import list_images
from dift_geo.pairs.lists import exhaustive_pairs, write_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

FLAGS = ["--descriptor", "rootsift", "--max-keypoints", str(KEYPOINTS)]


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Every image and pair that is done is a line of a file; all is flushed at once."""
    keep = loops.FeatureStore.put, loops.MatchStore.put

    def note(store: str, put: Callable[..., None]) -> Callable[..., None]:
        def noted(self: object, key: object, *rest: object) -> None:
            with file.open("a") as log:
                log.write(f"{store} {key}\n")
            put(self, key, *rest)

        return noted

    loops.FLUSH_SECONDS = 0  # type: ignore[misc]
    loops.FeatureStore.put = note("f", keep[0])  # type: ignore[method-assign]
    loops.MatchStore.put = note("m", keep[1])  # type: ignore[method-assign]
    try:
        yield
    finally:
        loops.FeatureStore.put, loops.MatchStore.put = keep  # type: ignore[method-assign]


class Run:
    """The three commands on one folder of photos, in a folder of their own."""

    def __init__(self, photos: Path, out: Path) -> None:
        self.photos, self.out, self.log = photos, out, out / "log"
        out.mkdir(parents=True)

    def command(self, stage: str) -> list[str]:
        features, matches = str(self.out / "features.h5"), str(self.out / "matches.h5")
        if stage == "extract":
            return ["extract", str(self.photos), features, *FLAGS]
        if stage == "match":
            return ["match", features, str(self.photos.parent / "pairs.txt"), matches]
        return ["reconstruct", str(self.photos), str(self.out / "model"), *FLAGS]

    def start(self, stage: str, kill_after: float | None = None) -> int:
        def work() -> int:
            with logged(self.log), (self.out / "err").open("a") as err:
                os.dup2(err.fileno(), 1)
                os.dup2(err.fileno(), 2)
                return dift_geo(self.command(stage))

        return in_child(work, kill_after)

    def results(self, stage: str) -> dict[str, Values]:
        """What the stores of a command hold."""
        out = self.out / "model" if stage == "reconstruct" else self.out
        return {
            "f": values_in(out / "features.h5", FeatureStore),
            "m": values_in(out / "matches.h5", MatchStore),
        }

    def model(self) -> Values:
        """A hash of every file of the model."""
        folder = self.out / "model" / "sparse"
        files = sorted(folder.rglob("*.bin"))
        return {str(f.relative_to(folder)): sha256(f.read_bytes()).digest() for f in files}


def kills(photos: Path, scratch: Path, trials: int, seed: int) -> Counter[str]:
    """Kill at random moments; what came of it, by kind."""
    draw = random.Random(seed)
    names = list_images(photos)
    write_pairs(photos.parent / "pairs.txt", exhaustive_pairs(names))
    reference, seconds = Run(photos, scratch / "reference"), {}
    for stage in ("extract", "match", "reconstruct"):
        begin = time.monotonic()
        code = reference.start(stage)
        if code:
            raise SystemExit(f"the run that nobody disturbs fails with {code}: {reference.out}/err")
        seconds[stage] = time.monotonic() - begin
    print("seconds of an undisturbed run:", {k: round(v, 2) for k, v in seconds.items()})
    counts: Counter[str] = Counter()
    for trial in count():
        if sum(counts[f"{stage} killed"] for stage in seconds) >= trials:
            break
        run = Run(photos, scratch / f"kill{trial}")
        stage = ("extract", "match", "reconstruct")[trial % 3]
        if stage == "match":
            run.start("extract")
        for problem in one_kill(run, stage, draw.uniform(0, seconds[stage]), reference, counts):
            counts[f"PROBLEM: {problem}"] += 1
            print(f"trial {trial} ({stage}): {problem}, see {run.out}")
            break
        else:
            shutil.rmtree(run.out)
    return counts


def one_kill(
    run: Run, stage: str, after: float, reference: Run, counts: Counter[str]
) -> Iterator[str]:
    """What is wrong after one kill and the same command again."""
    code = run.start(stage, after)
    counts[f"{stage} killed" if code == -signal.SIGKILL else f"{stage} over before"] += 1
    finished = _lines(run.results(stage))
    counts["values finished when killed"] += len(finished)
    run.log.write_text("")
    if run.start(stage):
        yield "the same command fails"
    again = finished & set(run.log.read_text().splitlines())
    if again:
        yield f"done again: {sorted(again)}"
    got, expected = run.results(stage), reference.results(stage)
    if not finished <= _lines(got):
        yield f"lost: {sorted(finished - _lines(got))}"
    if any(got[kind] != expected[kind] for kind in ("fm" if stage != "extract" else "f")):
        yield "other results"
    if stage == "reconstruct" and run.model().keys() != reference.model().keys():
        yield "another model"
    if stage == "reconstruct":
        same = run.model() == reference.model()
        counts["models equal to the last bit" if same else "models that differ in bits"] += 1
    left = [path.name for path in run.out.rglob("*") if path.suffix in (".part", ".lock")]
    left += [path.name for path in run.out.rglob("*.shards")]
    if left:
        yield f"left over: {left}"


def _lines(results: dict[str, Values]) -> set[str]:
    """As `logged` writes them."""
    return {f"{kind} {key}" for kind, values in results.items() for key in values}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["kills", "damage"])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--views", type=int, default=6, help="photos that are rendered")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keeps what went wrong; default: a new folder")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # forks inherit no threads
    cv2.setNumThreads(1)
    logging.disable(logging.WARNING)
    scratch = options.out or Path(tempfile.mkdtemp(prefix="faults-"))
    scratch.mkdir(parents=True, exist_ok=True)
    scene = runpy.run_path(str(Path(__file__).parents[1] / "rendered_scene.py"))
    scene["write_scene"](scratch / "photos", views=options.views, size_wh=(320, 240))
    trial = kills if options.what == "kills" else damage
    counts = trial(scratch / "photos", scratch, options.trials, options.seed)
    for kind in sorted(counts):
        print(f"{counts[kind]:6} {kind}")
    wrong = any(kind.startswith("PROBLEM") for kind in counts)
    if not wrong and options.out is None:
        shutil.rmtree(scratch)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
