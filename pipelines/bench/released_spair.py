"""DIFT's own `eval_spair.py` and ours on the same made features, each in a process of its own:
what both answer, how long they take and how much memory.

    git clone https://github.com/Tsingularity/dift
    python pipelines/bench/released_spair.py dift/ --pairs 2 --channels 1280 --grid 48 --wide 500

The released script runs unchanged, on the CPU: its network is replaced by one that hands out the
made features. Images are blank, features of a target are those of its source, shifted and noisy, so
that some keypoints are found and some are not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dift_geo.benchmark.loop import score_items
from dift_geo.benchmark.run import open_keypoints
from dift_geo.benchmark.semantic.methods import Seen
from dift_geo.benchmark.table import ScoreTable
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.images import read_image, write_image

CATEGORIES = ("cat", "bus", "pottedplant")


@dataclass(frozen=True)
class Made:
    """A data set in SPair-71k's layout, and features of its images.

    pairs: of each category.
    keypoints: of a pair, at most.
    channels, grid: of the maps, which are squares.
    wide: pixels of the longer side of the largest images.
    """

    pairs: int = 2
    keypoints: int = 8
    channels: int = 32
    grid: int = 12
    wide: int = 160
    seed: int = 0

    def features(self, name: str) -> NDArray[np.float32]:
        """(C, g, g) of the image `<category>_<pair>_<0 or 1>.jpg`."""
        category, pair, side = Path(name).stem.split("_")
        own = (self.seed, CATEGORIES.index(category), int(pair))
        shape = (self.channels, self.grid, self.grid)
        values = np.random.default_rng(own).standard_normal(shape)
        values = values + np.roll(values, 1, 1) + np.roll(values, 1, 2)  # neighbours are alike
        if side == "1":
            noise = np.random.default_rng((*own, 1)).standard_normal(shape)
            values = np.roll(values, (1, -1), (1, 2)) + 2.5 * noise
        return np.asarray(values, np.float32)

    def write(self, folder: Path) -> None:
        """Write images and annotations."""
        (folder / "PairAnnotation" / "test").mkdir(parents=True)
        number = 0
        for kind, category in enumerate(CATEGORIES):
            for pair in range(self.pairs):
                number += 1
                random = np.random.default_rng((self.seed, kind, pair, 2))
                self._write_pair(folder, category, pair, number, random)

    def _write_pair(
        self, folder: Path, category: str, pair: int, number: int, random: np.random.Generator
    ) -> None:
        names = [f"{category}_{pair}_{side}.jpg" for side in (0, 1)]
        sizes = [(int(w), int(h)) for w, h in random.integers(self.wide // 2, self.wide, (2, 2))]
        images = folder / "JPEGImages" / category
        images.mkdir(parents=True, exist_ok=True)
        for name, (w, h) in zip(names, sizes):
            write_image(images / name, np.zeros((h, w, 3), np.uint8))
        count = int(random.integers(2, self.keypoints + 1))
        share = random.uniform(0.15, 0.85, (count, 2))
        moved = share + np.array([-1, 1]) / self.grid + random.normal(0, 0.05, (count, 2))
        points = [
            (where * size).astype(int).clip(0, np.array(size) - 1).tolist()
            for where, size in zip((share, moved), sizes)
        ]
        w1, h1 = sizes[1]
        annotation = {
            "src_imname": names[0],
            "trg_imname": names[1],
            "src_imsize": [*sizes[0], 3],
            "trg_imsize": [*sizes[1], 3],
            "src_kps": points[0],
            "trg_kps": points[1],
            "trg_bndbox": [w1 // 8, h1 // 8, w1 - w1 // 8, h1 - h1 // 8],
            "category": category,
        }
        label = f"{number:06d}-{Path(names[0]).stem}-{Path(names[1]).stem}:{category}"
        file = folder / "PairAnnotation" / "test" / f"{label}.json"
        file.write_text(json.dumps(annotation))


def released(repo: Path, folder: Path, made: Made) -> dict[str, float]:
    """The numbers that `eval_spair.py` prints, as shares."""

    class Featurizer:
        def __init__(self, cat_list: object = None) -> None:
            pass

        def forward(self, image: Image.Image, **_: object) -> torch.Tensor:
            return torch.from_numpy(made.features(image.filename))[None]

    for name, own in (("dift_sd", "SDFeaturizer4Eval"), ("dift_adm", "ADMFeaturizer4Eval")):
        module = ModuleType(f"src.models.{name}")
        setattr(module, own, Featurizer)
        sys.modules[module.__name__] = module
    torch.cuda.set_device = lambda device: None
    spec = importlib.util.spec_from_file_location("eval_spair", repo / "eval_spair.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    flags = argparse.Namespace(dataset_path=str(folder), save_path=str(folder / "features"))
    settings = {"dift_model": "sd", "img_size": [768, 768], "t": 261, "up_ft_index": 1}
    vars(flags).update(settings, ensemble_size=8)
    out = StringIO()
    with redirect_stdout(out):
        script.main(flags)
    lines = re.findall(r"^(\w+) per (image|point) PCK@0.1: ([\d.]+)$", out.getvalue(), re.M)
    return {f"{kind.lower()}/{way}": float(number) / 100 for kind, way, number in lines}


def ours(folder: Path, made: Made) -> dict[str, float]:
    """The same numbers by this package."""

    class Features:
        def __getitem__(self, name: str) -> Seen:
            h, w = read_image(folder / name).shape[:2]
            values = torch.from_numpy(made.features(name))
            return Seen((w, h), FeatureMap(values, (w, h)))

    task = open_keypoints(folder, "spair71k")
    table = ScoreTable(tuple(score_items(task, task.items(), Features(), {})), task.measures)
    found = {}
    for kind in ("all", *CATEGORIES):
        part = table.only([g for g in table.groups if kind in ("all", g.partition("/")[0])])
        for way in ("image", "point"):
            found[f"{kind}/{way}"] = part.summary()[f"pck@0.1/{way}"]
    return found


def one_side(side: str, repo: Path, made: Made) -> dict[str, object]:
    """Run one side here; seconds of its processor and the largest memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        made.write(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()  # other programs on the machine do not count
        place = Path(folder)
        found = ours(place, made) if side == "ours" else released(repo, place, made)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"pck": found, "seconds": seconds, "peak_mib": peak / 1024, "base_mib": before / 1024}


def main(argv: list[str] | None = None) -> int:
    """Print what both sides answer, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", type=Path, help="a clone of github.com/Tsingularity/dift")
    for name, default in vars(Made()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--side", choices=["released", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="freeze the released answers into this JSON")
    flags = vars(parser.parse_args(argv))
    repo, side, write = flags.pop("repo"), flags.pop("side"), flags.pop("write")
    made = Made(**flags)
    if side:
        print(json.dumps(one_side(side, repo, made)))
        return 0
    found = {}
    for name in ("released", "ours"):
        words = [f"--{flag}={value}" for flag, value in flags.items()]
        command = [sys.executable, __file__, str(repo), *words, f"--side={name}"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=dict(os.environ))
        found[name] = json.loads(done.stdout)
        print(f"{name}: {json.dumps(found[name])}")
    theirs, own = found["released"], found["ours"]
    apart = max(abs(own["pck"][key] - value) for key, value in theirs["pck"].items())
    memory = [each["peak_mib"] - each["base_mib"] for each in (theirs, own)]
    times = theirs["seconds"] / own["seconds"]
    print(
        f"PCK differs by at most {100 * apart:.3f} points; {times:.1f} times as fast; "
        f"memory beside the libraries {memory[0]:.0f} and {memory[1]:.0f} MiB"
    )
    if write:
        write.write_text(json.dumps({"made": flags, "pck": theirs["pck"]}, indent=1) + "\n")
    return 0 if apart < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
