"""DIFT's own `eval_spair.py` and ours on the same features: what both answer, keypoint by keypoint.

    git clone https://github.com/Tsingularity/dift
    python pipelines/bench/released_spair.py dift/ --pairs 2 --channels 1280 --grid 48 --wide 500
    python pipelines/bench/released_spair.py dift/ --photos SPair-71k/ --backend tiny

The released script runs unchanged, on the CPU: its network is replaced by one that hands out the
features, and what it finds is noted where it looks up the place of the largest cosine. Without
photos, features are made up and each side runs in a process of its own, so that time and memory
stand beside the answers: images are blank, features of a target are those of its source, shifted
and noisy, so that some keypoints are found and some are not. With photos, both sides read the maps
that a backend makes for this task.
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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dift_geo.benchmark.loop import score_items
from dift_geo.benchmark.run import open_keypoints
from dift_geo.benchmark.semantic.methods import MapMethod, Seen
from dift_geo.benchmark.semantic.task import carried
from dift_geo.benchmark.table import ScoreTable
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.images import read_image, write_image
from dift_geo.mapper import MapOptions

CATEGORIES = ("cat", "bus", "pottedplant")


class Featured(Protocol):
    """What knows the features of an image, (C, g, g), by its file."""

    def features(self, file: str | Path) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Answers:
    """What a side says.

    pck: at 0.1, `<category or all>/<image or point>` -> share.
    pixels: name of a pair -> (x, y) of each of its keypoints in the target.
    """

    pck: Mapping[str, float]
    pixels: Mapping[str, list[list[int]]]

    def compared(self, other: Answers) -> str:
        """A line about both."""
        pck = max(abs(other.pck[key] - value) for key, value in self.pck.items())
        assert self.pixels.keys() == other.pixels.keys()
        pairs = [(self.pixels[name], other.pixels[name]) for name in self.pixels]
        same = sum(a == b for own, theirs in pairs for a, b in zip(own, theirs, strict=True))
        count = sum(len(own) for own, _ in pairs)
        return (
            f"{same} of {count} keypoints at the same pixel, PCK differs by at most "
            f"{100 * pck:.3f} points"
        )


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

    def features(self, file: str | Path) -> NDArray[np.float32]:
        """(C, g, g) of the image `<category>_<pair>_<0 or 1>.jpg`."""
        category, pair, side = Path(file).stem.split("_")
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


@dataclass(frozen=True)
class Photographed:
    """Maps of the photos of a folder in SPair-71k's layout, by a backend."""

    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def by(cls, options: MapOptions, folder: Path, cache: Path) -> Photographed:
        """Make them as `dift-geo evaluate --protocol spair71k` does."""
        task = open_keypoints(folder, "spair71k")
        method = MapMethod("row", options.build("semantic"), task.prompts())
        seen = method.prepare(task.photos, cache, options.device).features
        found = {name: seen[name].map for name in task.photos.names}
        return cls({name: own.values.numpy() for name, own in found.items() if own is not None})

    def features(self, file: str | Path) -> NDArray[np.float32]:
        """(C, g, g) of `.../JPEGImages/<category>/<name>`."""
        return self.maps["/".join(Path(file).parts[-3:])]


@dataclass
class Notes:
    """What the released script finds, noted by the parts of its imports that it calls.

    now: what its bar of progress is at, at last the annotation of a pair.
    """

    now: str = ""
    pixels: dict[str, list[list[int]]] = field(default_factory=dict)

    def bar(self, items: Iterable[str]) -> Iterator[str]:
        """In the place of tqdm."""
        for self.now in items:
            yield self.now

    def place(self, index: int, shape: tuple[int, int]) -> tuple[int, int]:
        """In the place of numpy's unravel_index."""
        y, x = np.unravel_index(index, shape)
        name = self.now.partition(":")[0].removesuffix(".json")
        self.pixels.setdefault(name, []).append([int(x), int(y)])
        return int(y), int(x)


def released(repo: Path, folder: Path, features: Featured, scratch: Path) -> Answers:
    """What `eval_spair.py` prints and finds."""

    class Featurizer:
        def __init__(self, cat_list: object = None) -> None:
            pass

        def forward(self, image: Image.Image, **_: object) -> torch.Tensor:
            return torch.from_numpy(features.features(image.filename))[None]

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
    notes = Notes()
    vars(script).update(tqdm=notes.bar, np=SimpleNamespace(unravel_index=notes.place, mean=np.mean))
    flags = argparse.Namespace(dataset_path=str(folder), save_path=str(scratch))
    settings = {"dift_model": "sd", "img_size": [768, 768], "t": 261, "up_ft_index": 1}
    vars(flags).update(settings, ensemble_size=8)
    out = StringIO()
    with redirect_stdout(out):
        script.main(flags)
    lines = re.findall(r"^(\w+) per (image|point) PCK@0.1: ([\d.]+)$", out.getvalue(), re.M)
    pck = {f"{kind.lower()}/{way}": float(number) / 100 for kind, way, number in lines}
    return Answers(pck, dict(sorted(notes.pixels.items())))


@dataclass(frozen=True)
class Source:
    """Features as the task reads them, by the name of an image."""

    folder: Path
    given: Featured

    def __getitem__(self, name: str) -> Seen:
        h, w = read_image(self.folder / name).shape[:2]
        values = torch.from_numpy(self.given.features(name))
        return Seen((w, h), FeatureMap(values, (w, h)))


def ours(folder: Path, features: Featured) -> dict[str, float]:
    """The same numbers by this package."""
    task = open_keypoints(folder, "spair71k")
    items = tuple(score_items(task, task.items(), Source(folder, features), {}))
    table = ScoreTable(items, task.measures)
    found = {}
    for kind in ("all", *dict.fromkeys(item.category for item in task.items())):
        part = table.only([g for g in table.groups if kind in ("all", g.partition("/")[0])])
        for way in ("image", "point"):
            found[f"{kind}/{way}"] = part.summary()[f"pck@0.1/{way}"]
    return found


def our_pixels(folder: Path, features: Featured) -> dict[str, list[list[int]]]:
    """Where this package finds each keypoint."""
    seen = Source(folder, features)
    return {
        item.label: carried(item.xy0, *(seen[name] for name in item.names)).astype(int).tolist()
        for item in open_keypoints(folder, "spair71k").items()
    }


def one_side(side: str, repo: Path, made: Made) -> dict[str, object]:
    """Run one side here; seconds of its processor and the largest memory of the process."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made.write(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()  # other programs on the machine do not count
        if side == "ours":
            pck, pixels = ours(folder, made), {}
        else:
            found = released(repo, folder, made, folder / "features")
            pck, pixels = dict(found.pck), dict(found.pixels)
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pixels = pixels or our_pixels(folder, made)
    own = {"pck": pck, "pixels": pixels, "seconds": seconds}
    return own | {"peak_mib": peak / 1024, "base_mib": before / 1024}


def both_sides(repo: Path, made: Made) -> tuple[Answers, Answers]:
    """The released answers and ours on made features; prints how long each took."""
    found = []
    for name in ("released", "ours"):
        words = [f"--{flag}={value}" for flag, value in asdict(made).items()]
        command = [sys.executable, __file__, str(repo), *words, f"--side={name}"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=dict(os.environ))
        found.append(json.loads(done.stdout))
        shown = {key: value for key, value in found[-1].items() if key != "pixels"}
        print(f"{name}: {json.dumps(shown)}")
    theirs, own = found
    memory = [each["peak_mib"] - each["base_mib"] for each in found]
    print(
        f"{theirs['seconds'] / own['seconds']:.1f} times as fast; "
        f"memory beside the libraries {memory[0]:.0f} and {memory[1]:.0f} MiB"
    )
    return Answers(theirs["pck"], theirs["pixels"]), Answers(own["pck"], own["pixels"])


def on_photos(repo: Path, folder: Path, options: MapOptions) -> tuple[Answers, Answers]:
    """The same on the photos of a folder, by a backend's maps."""
    with tempfile.TemporaryDirectory() as scratch:
        maps = Photographed.by(options, folder, Path(scratch, "maps"))
        theirs = released(repo, folder, maps, Path(scratch, "features"))
    for name, value in theirs.pck.items():
        print(f"{name:20} {100 * value:.2f}")
    return theirs, Answers(ours(folder, maps), our_pixels(folder, maps))


def main(argv: list[str] | None = None) -> int:
    """Print what both sides answer; 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", type=Path, help="a clone of github.com/Tsingularity/dift")
    for name, default in vars(Made()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--photos", type=Path, help="SPair-71k, instead of made features")
    parser.add_argument("--backend", default="tiny", help="for --photos")
    parser.add_argument("--square", type=int, help="pixels that it is shown; default: the task's")
    parser.add_argument("--side", choices=["released", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="freeze the released answers into this JSON")
    flags = parser.parse_args(argv)
    made = Made(**{name: getattr(flags, name) for name in vars(Made())})
    if flags.side:
        print(json.dumps(one_side(flags.side, flags.repo, made)))
        return 0
    if flags.photos:
        options = MapOptions(backend=flags.backend, side=flags.square)
        theirs, own = on_photos(flags.repo, flags.photos, options)
    else:
        theirs, own = both_sides(flags.repo, made)
    print(theirs.compared(own))
    if flags.write:
        frozen = {} if flags.photos else {"made": asdict(made)}
        flags.write.write_text(json.dumps({**frozen, **asdict(theirs)}) + "\n")
    apart = max(abs(own.pck[key] - value) for key, value in theirs.pck.items())
    return 0 if apart < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
