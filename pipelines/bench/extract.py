#!/usr/bin/env python3
"""How long do our descriptors take for one picture, against SuperPoint's forward in the same
process and threads?

    python pipelines/bench/extract.py

One photograph of 640 x 480 pixels, 1000 SIFT keypoints, the time that SIFT takes included.
SuperPoint runs through transformers with random weights: they change what it finds, not what its
forward costs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import cv2
import skimage
import torch

from dift_geo.backends.device import Precision
from dift_geo.extractor import build_extractor
from dift_geo.images import read_image


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, after one unmeasured run."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)

    photo = read_image(Path(skimage.__file__).parent / "data" / "motorcycle_left.png")
    image = cv2.resize(photo, (640, 480), interpolation=cv2.INTER_AREA)
    extractors = {
        word: build_extractor(
            descriptor=word, max_keypoints=options.keypoints, precision=options.precision
        )
        for word in ("rootsift", "dift")
    }
    found = len(extractors["dift"].extract(image, "motorcycle"))
    times = {
        word: seconds(partial(extractor.extract, image, "motorcycle"), options.repeats)
        for word, extractor in extractors.items()
    }
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    network = SuperPointForKeypointDetection(SuperPointConfig()).eval()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        times["superpoint forward"] = seconds(lambda: network(pixels), options.repeats)
    ratio = times["dift"] / times["superpoint forward"]
    print(
        json.dumps(
            {
                "keypoints": found,
                "threads": options.threads,
                "precision": options.precision,
                "seconds": {name: round(value, 3) for name, value in times.items()},
                "dift / superpoint": round(ratio, 2),
                "peak_mb_before_superpoint": round(peak_mb),
            }
        )
    )


if __name__ == "__main__":
    main()
