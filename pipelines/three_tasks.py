#!/usr/bin/env python3
"""The paper's three tasks by several backbones, in one table: homographies of planes, keypoints of
other objects of a category, masks of objects in videos.

    python pipelines/three_tasks.py out/ --planar hpatches/ --semantic SPair-71k/ --video DAVIS/ \\
        --backends tiny dino:vitb8 sd2.1 sd2.1+dinov2:vitb14 --device cuda

Each task has its own settings for each backbone, as `dift-geo evaluate` takes them; for geometry
that is what `dift-geo extract` does at SIFT keypoints. A task whose folder is not given is left
out, a backbone that cannot be loaded too, with a line that says so. `still` looks at nothing, and
two backbones side by side (A+B) have no descriptors at keypoints: their geometry stays empty.
Writes OUT/<task>/ as `dift-geo evaluate` does, OUT/three_tasks.json and OUT/three_tasks.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.methods import AnyMethod, Method
from dift_geo.benchmark.run import open_keypoints, open_task, open_video
from dift_geo.benchmark.semantic.methods import MapMethod
from dift_geo.benchmark.task import Task
from dift_geo.benchmark.video.methods import TrackedMasks
from dift_geo.errors import DiftGeoError, InputError
from dift_geo.extractor import ExtractorOptions
from dift_geo.mapper import STILL, MapOptions
from dift_geo.recipe import write_json, write_whole

# of each task: the number of the table, and what it is called there
NUMBERS = {
    "geometry": ("acc@3", "homographies within 3 px"),
    "semantic": ("pck@0.1/image", "keypoints, PCK@0.1 per image"),
    "video": ("J&F", "masks, J&F"),
}
Opened = tuple[Task[Any, Any], Callable[[str, str], AnyMethod[Any] | None]]


def name_of(backend: str) -> str:
    """What a row is called: letters, digits and . + - _."""
    parts = [re.sub(r"/.*/", "", part) for part in backend.split("+")]
    return re.sub(r"[^\w.+-]", "-", "+".join(parts))


def geometry(options: argparse.Namespace) -> Opened:
    """Homographies under the paper's protocol."""
    task = open_task(options.planar, "dift", sequences=options.only)

    def row(name: str, backend: str) -> Method | None:
        if backend == STILL or "+" in backend:
            return None
        asked = ExtractorOptions(
            backend=backend,
            max_keypoints=options.max_keypoints,
            size=options.size,
            device=options.device,
        )
        return Method(name, asked.build())

    return task, row


def semantic(options: argparse.Namespace) -> Opened:
    """Keypoints under the protocol whose layout the folder has."""
    marks = {"spair71k": "PairAnnotation", "cub": "bounding_boxes.txt"}
    there = [name for name, mark in marks.items() if (options.semantic / mark).exists()]
    protocol = there[0] if there else "pf-willow"
    task = open_keypoints(options.semantic, protocol, categories=options.categories)
    told = task.prompts()

    def row(name: str, backend: str) -> MapMethod:
        asked = MapOptions(backend=backend, side=options.side, device=options.device)
        return MapMethod(name, asked.build("semantic"), told)

    return task, row


def video(options: argparse.Namespace) -> Opened:
    """Masks of DAVIS-2017."""
    task = open_video(options.video, sequences=options.videos)

    def row(name: str, backend: str) -> TrackedMasks:
        asked = MapOptions(backend=backend, device=options.device)
        return TrackedMasks(name, asked.build("video"), task.data)

    return task, row


def evaluated(
    opened: Opened, out: Path, options: argparse.Namespace
) -> tuple[dict[str, float], str]:
    """The number of each row of a task that has one, and what was scored."""
    (task, row), key = opened, NUMBERS[out.name][0]
    methods = []
    for backend in options.backends:
        try:
            method = row(name_of(backend), backend)
        except (DiftGeoError, OSError, ImportError) as error:
            print(f"{out.name}: {backend} is left out: {' '.join(str(error).split())}")
            continue
        methods += [method] if method is not None else []
    if not methods:
        return {}, ""
    found = evaluate_task(
        task, out, methods, draws=options.bootstrap, pictures=0, device=options.device
    )
    layout = found.layout
    scored = f"{found.results[layout.items]} {layout.items}"
    return {name: table.summary()[key] for name, table in found.tables.items()}, scored


def parse(argv: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--planar", type=Path, help="folder in HPatches' layout")
    parser.add_argument("--semantic", type=Path, help="SPair-71k, PF-WILLOW, or CUB with splits/")
    parser.add_argument("--video", type=Path, help="DAVIS-2017 at 480p")
    parser.add_argument("--backends", nargs="+", default=[STILL, "tiny"], metavar="NAME")
    parser.add_argument("--only", nargs="+", metavar="SEQUENCE", help="of --planar")
    parser.add_argument("--categories", nargs="+", metavar="NAME", help="of --semantic")
    parser.add_argument("--videos", nargs="+", metavar="SEQUENCE", help="of --video")
    parser.add_argument("--side", type=int, metavar="PX", help="of the square for --semantic")
    parser.add_argument("--size", type=int, metavar="PX", help="longest side for --planar")
    parser.add_argument("--max-keypoints", type=int, default=1000, metavar="N")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def markdown(numbers: dict[str, dict[str, float]], scored: dict[str, str], rows: list[str]) -> str:
    """The table, per cent."""
    titles = [f"{NUMBERS[task][1]} ({scored[task]})" for task in numbers]
    lines = [f"| backbone | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for row in rows:
        cells = [f"{100 * own[row]:.1f}" if row in own else "" for own in numbers.values()]
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Score every backbone on every task that has data."""
    options = parse(None if argv is None else list(argv))
    rows = [name_of(backend) for backend in options.backends]
    if len(set(rows)) < len(rows):
        raise SystemExit(f"three_tasks: backbones are called {rows}, expected different names")
    folders = {"geometry": options.planar, "semantic": options.semantic, "video": options.video}
    openers = {"geometry": geometry, "semantic": semantic, "video": video}
    numbers: dict[str, dict[str, float]] = {}
    scored: dict[str, str] = {}
    try:
        for task, folder in folders.items():
            if folder is None:
                continue
            found, of = evaluated(openers[task](options), options.out / task, options)
            if found:
                numbers[task], scored[task] = found, of
        if not numbers:
            raise InputError("nothing was scored; give --planar, --semantic or --video")
    except (DiftGeoError, OSError) as error:
        raise SystemExit(f"three_tasks: {' '.join(str(error).split())}") from None
    keys = {task: NUMBERS[task][0] for task in numbers}
    write_json(
        options.out / "three_tasks.json", {"numbers": numbers, "keys": keys, "scored": scored}
    )
    text = markdown(numbers, scored, rows)
    write_whole(options.out / "three_tasks.md", text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
