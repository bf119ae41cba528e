#!/usr/bin/env python3
"""What do detectors and descriptors cost, in time and in memory? One process for each combination.

    python pipelines/bench/combinations.py --photo PHOTO \
        rootsift:descriptor=rootsift tiny:detector=tiny disk:detector=disk

A combination is written as the methods of `dift-geo evaluate` are: NAME:flag=value,... By default
one photograph of 640 x 480 pixels and 1000 keypoints, one thread. Seconds of the processor, lowest
of the repeats, after one run that is not measured; memory is the peak beyond what the process holds
when its networks are loaded. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from extract import usual_photo

from dift_geo.benchmark.words import method_from_words
from dift_geo.detectors.extractor import Extractor
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import read_image

COLUMNS = ("keypoints", "detect s", "all s", "memory MB")


def peak_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(words: str, options: argparse.Namespace) -> dict[str, float]:
    """One combination, in this process."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    usual = ExtractorOptions(max_keypoints=options.keypoints)
    extractor = method_from_words(words, usual).extractor
    assert isinstance(extractor, Extractor)
    photo = usual_photo() if options.photo is None else read_image(options.photo)
    held = peak_mb()
    found = extractor.extract(photo, "photo")
    detect, whole = [], []
    for turn in range(options.repeats):
        # ALIKED and DISK remember the picture they saw last
        first, second = (np.roll(photo, 2 * turn + shift, axis=1) for shift in (1, 2))
        start = time.process_time()
        extractor.detector.detect(first, "photo")
        detect.append(time.process_time() - start)
        start = time.process_time()
        extractor.extract(second, "photo")
        whole.append(time.process_time() - start)
    values = len(found), round(min(detect), 3), round(min(whole), 3), round(peak_mb() - held)
    return dict(zip(COLUMNS, values))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("combinations", nargs="+", metavar="NAME:flag=value,...")
    parser.add_argument("--photo", type=Path, help="instead of the usual one")
    parser.add_argument("--keypoints", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="print one as JSON")
    options = parser.parse_args(argv)
    if options.alone:
        print(json.dumps(measure(options.combinations[0], options)))
        return
    print(f"| combination | {' | '.join(COLUMNS)} |\n|---|" + "---:|" * len(COLUMNS))
    flags = ["--keypoints", "--repeats", "--threads"]
    values = [str(vars(options)[flag.removeprefix("--")]) for flag in flags]
    shared = [word for pair in zip(flags, values) for word in pair]
    shared += [] if options.photo is None else ["--photo", str(options.photo)]
    for words in options.combinations:
        own = [sys.executable, __file__, words, "--alone", *shared]
        done = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout)
        print(f"| {words.partition(':')[0]} | {' | '.join(str(row[c]) for c in COLUMNS)} |")


if __name__ == "__main__":
    main()
