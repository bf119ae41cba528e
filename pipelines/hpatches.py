#!/usr/bin/env python3
"""All baselines under all four protocols on one folder in HPatches layout.

    python pipelines/hpatches.py hpatches/ out/
    python pipelines/hpatches.py planar/ out/ --group oxford=v_wall,v_bark --fit-random photos/

Methods: RootSIFT, the embedded diffusion model in both readings, it joined with RootSIFT, the same
network with random weights, and SuperPoint where its weights are. Random weights get a projection
of their own: --random-projection, or one fitted on the photos of --fit-random as `dift-geo
calibrate` does; without either their raw descriptors are scored. Writes OUT/PROTOCOL/ for each
protocol and OUT/summary.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dift_geo.backends.tiny import Tiny
from dift_geo.benchmark.homography.data import read_benchmark
from dift_geo.benchmark.homography.protocols import PROTOCOLS
from dift_geo.benchmark.methods import Method
from dift_geo.benchmark.run import evaluate
from dift_geo.detectors.sift import Sift
from dift_geo.dift.calibration import calibrate
from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import Projection
from dift_geo.errors import DiftGeoError
from dift_geo.extractor import Extractor, build_extractor

BASELINES: dict[str, dict[str, str]] = {
    "rootsift": {"descriptor": "rootsift"},
    "tiny": {"descriptor": "dift"},
    "tiny+rootsift": {"descriptor": "dift+rootsift"},
    "tiny-dense": {"descriptor": "dift", "reading": "dense"},
    "superpoint": {"detector": "superpoint", "descriptor": "superpoint"},
    "tiny-superpoint": {"detector": "superpoint", "descriptor": "dift", "reading": "dense"},
}
METHODS = (*BASELINES, "tiny-random")


def random_tiny(max_keypoints: int, size: int | None, projection: Projection | None) -> Dift:
    """The shipped architecture with random weights."""
    return Dift(Tiny(random_seed=0), Sift(max_keypoints), projection=projection, size=size)


def build_methods(
    names: list[str],
    max_keypoints: int,
    size: int | None,
    random_projection: Projection | None,
    superpoint: str | None = None,
) -> list[Method]:
    """The baselines of these names; one whose weights are not there is left out with a line that
    says so.

    superpoint: folder or hub id of its weights; None is the usual one.
    """
    methods = []
    for name in names:
        try:
            if name == "tiny-random":
                dift = random_tiny(max_keypoints, size, random_projection)
                extractor = Extractor(Sift(max_keypoints), dift, size)
            else:
                words = dict(BASELINES[name])
                if superpoint and words.get("detector") == "superpoint":
                    words["detector"] = f"superpoint:{superpoint}"
                extractor = build_extractor(max_keypoints=max_keypoints, size=size, **words)
        except (DiftGeoError, OSError, ImportError) as error:
            print(f"{name} is left out: {' '.join(str(error).split())}")
            continue
        methods.append(Method(name, extractor))
    return methods


def parse(argv: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--protocols", nargs="+", choices=tuple(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=SEQ,SEQ",
        help="a table for these sequences",
    )
    parser.add_argument(
        "--fit-random",
        type=Path,
        metavar="PHOTOS",
        help="fit the projection of the random network on these",
    )
    parser.add_argument(
        "--random-projection", type=Path, metavar="FILE", help="or take this projection for it"
    )
    parser.add_argument(
        "--fit-views",
        type=int,
        default=0,
        metavar="N",
        help="synthetic views per photo; 0 takes enough",
    )
    parser.add_argument("--superpoint", metavar="NAME", help="folder or hub id of its weights")
    parser.add_argument("--max-keypoints", type=int, help="default: the protocol's")
    parser.add_argument(
        "--size", type=int, help="longest side that networks and detectors see; default: all of it"
    )
    parser.add_argument(
        "--pictures", type=int, default=3, metavar="N", help="best and worst pairs drawn per method"
    )
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N")
    return parser.parse_args(argv)


def projection_for_random(options: argparse.Namespace) -> Projection | None:
    """What was fitted for the random network, or is fitted now."""
    if options.fit_random and "tiny-random" in options.methods:
        raw = random_tiny(1000, 640, None)
        return calibrate(options.fit_random, raw, views=options.fit_views).projection
    if options.random_projection:
        return Projection.load(options.random_projection)
    return None


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    benchmark = read_benchmark(options.dataset)
    groups = dict(text.split("=", 1) for text in options.group)
    random_projection = projection_for_random(options)
    summary = []
    for name in options.protocols:
        protocol = PROTOCOLS[name]
        keypoints = options.max_keypoints or protocol.max_keypoints
        found = evaluate(
            benchmark,
            options.out / name,
            build_methods(
                options.methods, keypoints, options.size, random_projection, options.superpoint
            ),
            protocol,
            cache=options.out / "cache",
            groups={group: members.split(",") for group, members in groups.items()},
            draws=options.bootstrap,
            pictures=options.pictures,
        )
        print(found.markdown())
        summary.append(found.markdown())
    (options.out / "summary.md").write_text("\n".join(summary), encoding="utf-8")


if __name__ == "__main__":
    main()
