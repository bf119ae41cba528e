#!/usr/bin/env python3
r"""What does a second machine bring? Photos described by one node of a Ray cluster, by two, by one.

    python pipelines/bench/ray_nodes.py PHOTOS --max-keypoints 1024
    python pipelines/bench/ray_nodes.py PHOTOS --made 0.5

Nodes are Ray's own `cluster_utils.Cluster` on this machine, a core and a worker each, beside a head
that computes nothing; so there have to be two free cores. Wall seconds, once the workers have their
model; one node is measured before and after two, since a machine that others use changes.

With `--made` nothing is computed: a photo takes so many seconds of waiting, and gives features of
8192 keypoints. That needs no free cores, and shows what giving out the work and taking the results
costs.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dift_geo.engine.contract import Engine
from dift_geo.engine.elsewhere import extractor_for
from dift_geo.engine.ray import Ray
from dift_geo.engine.steps import Described, describe_photo, read_photo
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import list_images
from dift_geo.types import Features, Keypoints


@dataclass
class Waiting:
    """An extractor that waits."""

    seconds: float

    def extract(self, image: np.ndarray, name: str) -> Features:
        time.sleep(self.seconds)
        h, w = image.shape[:2]
        keypoints = Keypoints(np.zeros((8192, 2)), np.ones(8192), (w, h))
        return Features(keypoints, np.ones((8192, 128)) / 128**0.5)

    def recipe(self) -> dict[str, object]:
        return {"seconds": self.seconds}


def seconds_of(
    engine: Engine, photos: Path, options: ExtractorOptions, times: int, made: float | None = None
) -> float:
    """Wall seconds a photo, of all photos so many times, after a first round that is not timed."""
    names = list_images(photos)
    extractor = Waiting(made) if made else extractor_for(engine, options, options.device)
    describe = partial(describe_photo, extractor)
    results = engine.map(describe, [*names, *names * times], partial(read_photo, photos, None))
    begun = time.perf_counter()
    for i, result in enumerate(results):
        assert isinstance(result, Described), result
        if i == len(names) - 1:
            begun = time.perf_counter()
    return (time.perf_counter() - begun) / (times * len(names))


def main(argv: list[str] | None = None) -> None:
    import ray
    from ray.cluster_utils import Cluster

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--max-keypoints", type=int, default=1024)
    parser.add_argument("--descriptor", default="dift+rootsift")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--made", type=float, metavar="SECONDS")
    asked = parser.parse_args(argv)
    options = ExtractorOptions(descriptor=asked.descriptor, max_keypoints=asked.max_keypoints)
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    engine = Ray(cluster.address)
    seconds = {"one": seconds_of(engine, asked.photos, options, asked.times, asked.made)}
    second = cluster.add_node(num_cpus=1)
    seconds["two"] = seconds_of(engine, asked.photos, options, asked.times, asked.made)
    cluster.remove_node(second)
    seconds["one again"] = seconds_of(engine, asked.photos, options, asked.times, asked.made)
    ray.shutdown()
    cluster.shutdown()
    one = (seconds["one"] + seconds["one again"]) / 2
    print(json.dumps({"seconds a photo": {k: round(v, 3) for k, v in seconds.items()}}))
    print(json.dumps({"two nodes, times one node's throughput": round(one / seconds["two"], 2)}))


if __name__ == "__main__":
    main()
