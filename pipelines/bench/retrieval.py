#!/usr/bin/env python3
r"""Which images do ways to choose pairs find, of those that truly see the same?

    python pipelines/bench/retrieval.py OUT SCENE [SCENE ...] [--descriptor dift+rootsift]

A scene is a folder with images/ and cameras_gt.txt. The truth of two images is how many matches of
RootSIFT (every pair, mutual nearest neighbours, ratio 0.9) lie within 4 px of the epipolar lines of
the true cameras in both images. The true neighbours of an image are the k with most of them, of
those with at least 15; recall@k is the share of them among the first k that a way names, the mean
over images that have any. Stores and truth stay in OUT and are used again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.vocabulary import vocabulary_neighbours
from dift_geo.engine.loops import extract_images
from dift_geo.extractor import ExtractorOptions
from dift_geo.geometry.pose import epipolar_error_px, relative_pose
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.pairs.retrieval import pool_images
from dift_geo.store.features import FeatureStore
from dift_geo.types import Features

LEAST, AGREES_PX, RATIO = 15, 4.0, 0.9
TRUTH = ExtractorOptions.for_models(descriptor="rootsift", size=1024, max_keypoints=1500)
RANDOM_DRAWS = 20

Lists = Mapping[str, Sequence[str]]


def true_matches(
    cameras: Mapping[str, KnownCamera], features: Mapping[str, Features]
) -> dict[str, dict[str, int]]:
    """For each image the matches with each other one that agree with the true cameras."""
    found: dict[str, dict[str, int]] = {name: {} for name in features}
    for a, b in combinations(features, 2):
        rows = [features[name].descriptors for name in (a, b)]
        pairs = match_mutual_nn(*rows, ratio=RATIO).pairs
        xy = [features[name].keypoints.xy[pairs[:, i]] for i, name in enumerate((a, b))]
        K, pose = [cameras[name].K for name in (a, b)], [cameras[n].cam_from_world for n in (a, b)]
        errors = [
            epipolar_error_px(xy[i], xy[j], relative_pose(pose[i], pose[j]), K[i], K[j])
            for i, j in ((0, 1), (1, 0))
        ]
        found[a][b] = found[b][a] = int((np.maximum(*errors) < AGREES_PX).sum())
    return found


def recall(truth: Mapping[str, Mapping[str, int]], lists: Lists, k: int) -> float:
    """The mean share of the k truest neighbours among the first k of a list."""
    shares = []
    for name, others in truth.items():
        seen = sorted((o for o in others if others[o] >= LEAST), key=lambda o: (-others[o], o))[:k]
        if seen:
            shares.append(len({*seen} & {*list(lists.get(name, ()))[:k]}) / len(seen))
    return float(np.mean(shares))


def sequential(names: Sequence[str]) -> Lists:
    """The nearest in the order of names."""
    place = {name: i for i, name in enumerate(names)}
    return {
        name: sorted((o for o in names if o != name), key=lambda o: abs(place[o] - place[name]))
        for name in names
    }


def drawn(names: Sequence[str], seed: int) -> Lists:
    """All others in an order that is drawn."""
    random = np.random.default_rng(seed)
    return {name: [o for o in random.permutation(names).tolist() if o != name] for name in names}


def retrieval(store: FeatureStore, names: Sequence[str]) -> Lists:
    """By the products of global descriptors."""
    vectors = pool_images(store, names)
    order = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")
    return {name: [names[j] for j in row if names[j] != name] for name, row in zip(names, order)}


def load_truth(scene: Path, out: Path, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The truth of a scene, made where `out` does not have it."""
    path = out / f"{scene.name}-truth.json"
    if not path.is_file():
        store = out / f"{scene.name}-truth.h5"
        extract_images(scene / "images", names, TRUTH.build(), store)
        with FeatureStore(store) as opened:
            features = {name: opened[name] for name in names}
        cameras = read_cameras(scene / "cameras_gt.txt")
        path.write_text(json.dumps(true_matches(cameras, features)))
    return json.loads(path.read_text())


def measure(scene: Path, out: Path, extractor: ExtractorOptions) -> dict[str, object]:
    """Recall@10 and @20 of every way for one scene, and CPU seconds of two."""
    images = scene / "images"
    known = read_cameras(scene / "cameras_gt.txt")
    names = [name for name in sorted(known) if (images / name).is_file()]
    path = out / f"{scene.name}-{extractor.descriptor}.h5"
    extract_images(images, names, extractor.build(), path)
    truth = load_truth(scene, out, names)
    ways: dict[str, list[Lists]] = {
        "random": [drawn(names, seed) for seed in range(RANDOM_DRAWS)],
        "sequential": [sequential(names)],
    }
    seconds = {}
    with FeatureStore(path) as store:
        begun = time.process_time()
        ways["vocabulary"] = [vocabulary_neighbours(store, names, len(names) - 1)]
        seconds["vocabulary"] = round(time.process_time() - begun, 1)
        begun = time.process_time()
        ways["retrieval"] = [retrieval(store, names)]
        seconds["retrieval"] = round(time.process_time() - begun, 1)
    return {
        "scene": scene.name,
        "images": len(names),
        "descriptor": extractor.descriptor,
        "true neighbours": float(
            np.mean([sum(n >= LEAST for n in o.values()) for o in truth.values()])
        ),
        "cpu_seconds": seconds,
        **{
            f"recall@{k}": {
                way: round(float(np.mean([recall(truth, lists, k) for lists in several])), 3)
                for way, several in ways.items()
            }
            for k in (10, 20)
        },
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--descriptor", default="dift+rootsift")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--max-keypoints", type=int, default=1024)
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    extractor = ExtractorOptions.for_models(
        descriptor=options.descriptor, size=options.size, max_keypoints=options.max_keypoints
    )
    for scene in options.scenes:
        print(json.dumps(measure(scene, options.out, extractor)), flush=True)


if __name__ == "__main__":
    main()
