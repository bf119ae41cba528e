#!/usr/bin/env python3
"""How long do our descriptors take for one picture, against OpenCV's SIFT with RootSIFT and against
SuperPoint's forward, all in one process?

    python pipelines/bench/extract.py
    python pipelines/bench/extract.py --photo PHOTO --keypoints 8192 --threads 1

By default one photograph of 640 x 480 pixels and 1000 SIFT keypoints. The time that SIFT takes is
in every row. Times of the processor, lowest and median of the repeats, are what to compare where
others use the machine; the methods take turns. SuperPoint runs through transformers with random
weights: they change what it finds, not what its forward costs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import skimage
import torch
from numpy.typing import NDArray

from dift_geo.backends.config import Effort
from dift_geo.backends.device import Precision
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import read_image, resize_longest


def measured(
    work: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Median wall time, and lowest and median time of the processor, after one unmeasured run."""
    wall: dict[str, list[float]] = {name: [] for name in work}
    cpu: dict[str, list[float]] = {name: [] for name in work}
    for name in work:
        work[name]()
    for _ in range(repeats):
        for name, run in work.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - used)
    return (
        {name: statistics.median(times) for name, times in wall.items()},
        {name: (min(times), statistics.median(times)) for name, times in cpu.items()},
    )


def photo_of(options: argparse.Namespace) -> NDArray[np.uint8]:
    """The photo asked for as the extractor sees it, or the usual one at 640 x 480."""
    if options.photo is not None:
        return resize_longest(read_image(options.photo), ExtractorOptions.size)
    return usual_photo()


def usual_photo() -> NDArray[np.uint8]:
    """A photograph of (480, 640, 3)."""
    photo = read_image(Path(skimage.__file__).parent / "data" / "motorcycle_left.png")
    return np.asarray(cv2.resize(photo, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)


def superpoint(image: NDArray[np.uint8]) -> Callable[[], object]:
    """Its forward on this image."""
    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    network = SuperPointForKeypointDetection(SuperPointConfig()).eval()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

    def forward() -> object:
        with torch.inference_mode():
            return network(pixels)

    return forward


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keypoints", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="of dift; bfloat16 where the CPU has it",
    )
    parser.add_argument("--photo", type=Path, help="instead of the usual one, at its own size")
    parser.add_argument("--without-superpoint", action="store_true")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    image = photo_of(options)
    usual = ExtractorOptions(max_keypoints=options.keypoints, precision=options.precision)
    efforts: tuple[Effort, ...] = get_args(Effort)
    asked = {f"dift {effort}": replace(usual, effort=effort) for effort in efforts}
    asked = {"rootsift": replace(usual, descriptor="rootsift"), **asked}
    extractors = {name: options_of.build() for name, options_of in asked.items()}
    found = len(extractors["dift default"].extract(image, "photo"))
    work: dict[str, Callable[[], object]] = {
        name: partial(extractor.extract, image, "photo") for name, extractor in extractors.items()
    }
    wall, cpu = measured(work, options.repeats)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    against = ["rootsift"]
    if not options.without_superpoint:
        against.append("superpoint forward")
        more = measured({against[-1]: superpoint(image)}, options.repeats)
        wall, cpu = wall | more[0], cpu | more[1]
    ratios = {
        f"{name} / {other}": round(cpu[name][0] / cpu[other][0], 2)
        for name, other in product(asked, against)
        if name != other
    }
    record = {
        "pixels": image.shape[1::-1],
        "keypoints": found,
        "threads": options.threads,
        "precision": options.precision,
        "seconds": {name: round(value, 3) for name, value in wall.items()},
        "cpu seconds": {name: [round(x, 4) for x in value] for name, value in cpu.items()},
        **ratios,
        "peak_mb_before_superpoint": round(peak_mb),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
