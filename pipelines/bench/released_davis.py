"""DIFT's own `eval_davis.py` and ours on the same made features, each in a process of its own: the
masks that both write, how long they take and how much memory.

    git clone https://github.com/Tsingularity/dift
    python pipelines/bench/released_davis.py dift/ --short-side 480 --channels 640 --frames 7

The released script's loop runs unchanged, on the CPU: its network is replaced by one that hands out
the made features. Its table of neighbours, which it makes once for a video, is timed apart. Nothing
of it runs with `--side ours`, nor with `--side step`, which is our last step alone: a frame with
`--frames` frames and the first one to look at, as far into a video as the memory goes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.backends.tasks import Propagation
from dift_geo.images import write_image
from dift_geo.mapper import Mapper
from dift_geo.matching.propagate import as_context, propagate
from dift_geo.video.carry import carried_masks
from dift_geo.video.masks import COLOURS, read_mask, write_mask
from dift_geo.video.track import one_hot, shown_size

CELL = 8  # pixels, of Stable Diffusion's block 2 and ADM's block 7


@dataclass(frozen=True)
class Made:
    """A video in DAVIS' layout, and features of its frames.

    images: how many frames it has, of 16 : 9.
    short_side: of a frame, in pixels.
    channels: of the features.
    frames, top_k, radius: of the propagation.
    """

    images: int = 5
    short_side: int = 96
    channels: int = 16
    frames: int = 3
    top_k: int = 15
    radius: int = 15
    seed: int = 0

    @property
    def settings(self) -> Propagation:
        return Propagation(
            temperature=0.2,
            top_k=self.top_k,
            frames=self.frames,
            radius=self.radius,
            short_side=self.short_side,
        )

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.short_side * 16 // 9, self.short_side

    def mask(self) -> NDArray[np.uint8]:
        """Two discs."""
        w, h = self.size_wh
        mask = np.zeros((h, w), np.uint8)
        for number, (x, y) in enumerate(((0.3, 0.4), (0.7, 0.6)), 1):
            cv2.circle(mask, (int(x * w), int(y * h)), h // 5, number, -1)
        return mask

    def features(self) -> Iterator[torch.Tensor]:
        """(C, h, w) of each frame: a scene that moves by a cell, and noise."""
        w, h = (side // CELL for side in shown_size(self.size_wh, self.settings))
        random = np.random.default_rng(self.seed)
        scene = random.standard_normal((self.channels, h, w + self.images), np.float32)
        scene = scene + np.roll(scene, 1, 1) + np.roll(scene, 1, 2)  # neighbours are alike
        for number in range(self.images):
            noise = random.standard_normal((self.channels, h, w), np.float32)
            yield torch.from_numpy(scene[:, :, number : number + w] + noise)

    def write(self, folder: Path) -> None:
        """Blank frames, and the first mask where the released script looks for it."""
        blank = np.zeros((*self.size_wh[::-1], 3), np.uint8)
        for number in range(self.images):
            file = folder / "JPEGImages" / "480p" / "made" / f"{number:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_image(file, blank)
        file = folder / "Annotations" / "480p" / "made" / "00000.png"
        file.parent.mkdir(parents=True)
        write_mask(file, self.mask())


def released(repo: Path, folder: Path, made: Made, maps: list[torch.Tensor]) -> float:
    """Run `eval_davis.py` into `folder/masks`; the seconds that its table of neighbours took."""
    waiting = iter(maps)

    class Featurizer:
        def forward(self, frame: torch.Tensor, **_: object) -> torch.Tensor:
            return next(waiting)[None]

    for name, own in (("dift_sd", "SDFeaturizer"), ("dift_adm", "ADMFeaturizer")):
        module = ModuleType(f"src.models.{name}")
        setattr(module, own, Featurizer)
        sys.modules[module.__name__] = module
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    spec = importlib.util.spec_from_file_location("eval_davis", repo / "eval_davis.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.args = argparse.Namespace(
        t=51,
        up_ft_index=2,
        ensemble_size=8,
        temperature=made.settings.temperature,
        topk=made.top_k,
        n_last_frames=made.frames,
        size_mask_neighborhood=made.radius,
        output_dir=str(folder / "masks"),
    )
    for reader in (script.read_frame, script.read_seg):
        reader.__defaults__ = ([made.short_side],)  # 480
    tables = []
    table = script.restrict_neighborhood

    def timed(h: int, w: int) -> torch.Tensor:
        start = time.process_time()
        found = table(h, w)
        tables.append(time.process_time() - start)
        return found

    script.restrict_neighborhood = timed
    video = folder / "JPEGImages" / "480p" / "made"
    frames = script.read_frame_list(str(video))
    first = folder / "Annotations" / "480p" / "made" / "00000.png"
    segmented, original = script.read_seg(str(first), CELL)
    script.eval_video_tracking_davis(
        script.args, Featurizer(), CELL, frames, str(video), segmented, original, COLOURS
    )
    return sum(tables)


def ours(folder: Path, made: Made, maps: list[torch.Tensor]) -> float:
    """The same by this package."""

    class Features(Mapper):
        still = False  # type: ignore[assignment]

        def frame(self, shown: NDArray[np.uint8], name: str) -> torch.Tensor:
            return maps[int(name)]

    blank = np.zeros((*made.size_wh[::-1], 3), np.uint8)
    names = [f"{number:05d}" for number in range(made.images)]
    frames = ((name, blank) for name in names)
    masks = carried_masks(frames, made.mask(), Features(()), made.settings)
    for name, mask in zip(names, masks):
        write_mask(folder / "masks" / "made" / f"{name}.png", mask)
    return 0.0


def last_step(made: Made) -> None:
    """Labels of one frame of ours, with all the frames that it may look at."""
    maps = [as_context(values) for values in replace(made, images=made.frames + 2).features()]
    labels = [one_hot(made.mask(), (maps[0].shape[0], maps[0].shape[1]))] * (made.frames + 1)
    own = made.settings
    settings = {"temperature": own.temperature, "top_k": own.top_k, "radius": own.radius}
    propagate(maps[0], maps[1:], labels, **settings)


def one_side(side: str, repo: Path, made: Made, folder: Path) -> dict[str, float]:
    """Run one side here; seconds of its processor and the largest memory of the process."""
    if side == "step":
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        last_step(made)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {"seconds": time.process_time() - start, "table_seconds": 0.0}
        return {**found, "peak_mib": peak / 1024, "base_mib": before / 1024}
    made.write(folder)
    (folder / "masks" / "made").mkdir(parents=True)
    maps = list(made.features())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()  # other programs on the machine do not count
    table = ours(folder, made, maps) if side == "ours" else released(repo, folder, made, maps)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds - table,
        "table_seconds": table,
        "peak_mib": peak / 1024,
        "base_mib": before / 1024,
    }


def main(argv: list[str] | None = None) -> int:
    """Print what both sides take, how many pixels differ, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", type=Path, help="a clone of github.com/Tsingularity/dift")
    for name, default in vars(Made()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--side", choices=["released", "ours", "step"], help="alone")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    flags = vars(parser.parse_args(argv))
    repo, side, folder = flags.pop("repo"), flags.pop("side"), flags.pop("folder")
    made = Made(**flags)
    if side:
        with tempfile.TemporaryDirectory() as aside:
            print(json.dumps(one_side(side, repo, made, folder or Path(aside))))
        return 0
    found, masks = {}, {}
    with tempfile.TemporaryDirectory() as aside:
        for name in ("released", "ours"):
            words = [f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()]
            where = [f"--side={name}", f"--folder={Path(aside, name)}"]
            command = [sys.executable, __file__, str(repo), *words, *where]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=dict(os.environ))
            found[name] = json.loads(done.stdout)
            print(f"{name}: {json.dumps(found[name])}")
            files = sorted(Path(aside, name, "masks", "made").glob("*.png"))
            masks[name] = np.stack([read_mask(file) for file in files])
    theirs, own = found["released"], found["ours"]
    apart = float((masks["released"] != masks["ours"]).mean())
    memory = [each["peak_mib"] - each["base_mib"] for each in (theirs, own)]
    print(
        f"{100 * apart:.4f} % of the pixels differ; {theirs['seconds'] / own['seconds']:.1f} times "
        f"as fast, {(theirs['seconds'] + theirs['table_seconds']) / own['seconds']:.1f} with its "
        f"table of neighbours; memory beside the features {memory[0]:.0f} and {memory[1]:.0f} MiB"
    )
    return 0 if apart < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
