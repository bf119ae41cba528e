#!/usr/bin/env python3
"""Relative poses of photo pairs over descriptors, ratios, estimators and thresholds, in one table.

    python pipelines/two_view.py scenes/ out/ --descriptors rootsift dift+rootsift --ratios 0.8 0.9

Scenes are folders with images/ and cameras_gt.txt, or any layout that `dift-geo evaluate --protocol
poses` reads. Features and matches are made once for each descriptor and ratio and kept in
OUT/cache; an estimator or a threshold more costs seconds. A setting is worth what it is on every
scene: the table shows the mean over scenes, each counted once, the lowest scene, and every scene by
itself. `--colmap` adds COLMAP's own SIFT, matched as COLMAP has it.
Writes OUT/two_view.json and OUT/two_view.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import get_args

import pycolmap

from dift_geo.backends.config import Effort
from dift_geo.benchmark.loop import score_method, usable_items
from dift_geo.benchmark.methods import AnyMethod, Method, Prepared, StoredMethod
from dift_geo.benchmark.results import versions
from dift_geo.benchmark.run import open_task
from dift_geo.benchmark.task import Photos
from dift_geo.colmap.exchange import import_database
from dift_geo.extractor import DESCRIPTORS, ExtractorOptions
from dift_geo.geometry.essential import PoseEstimator
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.lists import write_pairs
from dift_geo.recipe import write_json, write_whole
from dift_geo.store.matches import MatchStore
from dift_geo.turned import StraightenWord
from dift_geo.types import Features, MatchSource, Pair

COLUMNS = ("auc@1", "auc@5", "auc@10", "auc@20", "precision@3px", "purity@3px")
COUNTS = ("matches", "inliers")
STEERED_BY = "auc@5"
Numbers = dict[str, float]


@dataclass(frozen=True)
class Colmap:
    """COLMAP's SIFT and its matcher, with every option as COLMAP has it."""

    name: str = "COLMAP's SIFT"

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Features]:
        """Extract at once, match when asked; both stay in `cache`."""
        folder = cache / "colmap"
        folder.mkdir(parents=True, exist_ok=True)
        database, features = folder / "database.db", folder / "features.h5"
        if not features.exists():
            names = list(photos.names)
            pycolmap.extract_features(str(database), str(photos.folder), image_names=names)
            import_database(database, features)

        def matched(pairs: Sequence[Pair]) -> MatchSource:
            matches = folder / "matches.h5"
            if not matches.exists():
                write_pairs(folder / "pairs.txt", pairs)
                listed = pycolmap.ImportedPairingOptions(match_list_path=str(folder / "pairs.txt"))
                pycolmap.match_image_pairs(str(database), pairing_options=listed)
                import_database(database, folder / "again.h5", matches)
            return MatchStore(matches)

        stored = StoredMethod(self.name, features, folder / "matches.h5")
        return replace(stored.prepare(photos, cache, device), match=matched)


def methods(options: argparse.Namespace) -> Iterator[tuple[float | None, AnyMethod[Features]]]:
    """What is compared, each with its ratio."""
    if options.colmap:
        yield 0.8, Colmap()
    for descriptor, ratio in product(options.descriptors, options.ratios):
        extractor = ExtractorOptions(
            descriptor=descriptor,
            backend=options.backend,
            detector=options.detector,
            max_keypoints=options.max_keypoints,
            size=options.size,
            contrast=options.contrast,
            upright=options.upright,
            straighten=options.straighten,
            device=options.device,
            effort=options.effort if "dift" in descriptor.split("+") else "default",
        )
        yield ratio, Method(descriptor, extractor.build(), matching=MatchOptions(ratio=ratio))


def settings(options: argparse.Namespace) -> Iterator[tuple[dict[str, object], dict[str, Numbers]]]:
    """Every setting with its numbers by scene."""
    for ratio, method in methods(options):
        prepared = None
        for estimator, limit in product(options.estimators, options.max_errors):
            task = open_task(
                options.dataset,
                "poses",
                estimator=estimator,
                max_error_px=limit,
                sequences=options.scenes,
                max_angle_deg=options.max_angle,
                pairs_per_scene=options.pairs_per_scene,
                seed=options.seed,
            )
            if prepared is None:
                prepared = method.prepare(task.photos, options.out / "cache", options.device)
            items, _ = usable_items(task, [prepared])
            table = score_method(task, items, prepared).table
            found = {scene: table.only([scene]).summary() for scene in table.groups}
            setting = {"descriptor": method.name, "ratio": ratio, "estimator": estimator}
            yield {**setting, "max_error_px": limit}, found


def mean_over(scenes: dict[str, Numbers], name: str) -> float:
    """Each scene counts once, however many pairs it has."""
    return sum(numbers[name] for numbers in scenes.values()) / len(scenes)


def as_table(results: Sequence[dict]) -> str:
    """Markdown: a row for each setting."""
    names = list(results[0]["scenes"])
    head = ["setting", *COLUMNS, *COUNTS, f"lowest {STEERED_BY}", *names]
    lines = [
        f"Means over {len(names)} scenes, each counted once, in per cent; then {STEERED_BY} of the "
        "lowest scene and of each.",
        "",
        f"| {' | '.join(head)} |",
        "|---|" + "---:|" * (len(head) - 1),
    ]
    for result in results:
        scenes = result["scenes"]
        each = [scenes[name][STEERED_BY] for name in names]
        shares = [mean_over(scenes, name) for name in COLUMNS]
        counts = [f"{mean_over(scenes, name):.0f}" for name in COUNTS]
        cells = [f"{100 * share:.1f}" for share in shares]
        cells += [*counts, *(f"{100 * share:.1f}" for share in (min(each), *each))]
        lines.append(f"| {label(result['setting'])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def label(setting: dict) -> str:
    return (
        f"{setting['descriptor']}, ratio {setting['ratio']}, "
        f"{setting['estimator']} {setting['max_error_px']:g} px"
    )


def ratio_of(text: str) -> float | None:
    return None if text == "none" else float(text)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--descriptors", nargs="*", choices=DESCRIPTORS, default=["rootsift"])
    parser.add_argument("--ratios", nargs="+", type=ratio_of, default=[0.8], metavar="R|none")
    parser.add_argument("--colmap", action="store_true", help="COLMAP's own SIFT and matches, too")
    estimators = get_args(PoseEstimator)
    parser.add_argument("--estimators", nargs="+", choices=estimators, default=["poselib"])
    parser.add_argument("--max-errors", nargs="+", type=float, default=[1.0], metavar="PX")
    parser.add_argument("--scenes", nargs="+", metavar="NAME", help="patterns like 'sacre_*' work")
    parser.add_argument("--max-angle", type=float, metavar="DEG", help="of directions of view")
    parser.add_argument("--pairs-per-scene", type=int, metavar="N")
    parser.add_argument("--backend", default="tiny")
    parser.add_argument("--effort", choices=get_args(Effort), default="default")
    parser.add_argument("--detector", default="sift")
    parser.add_argument("--max-keypoints", type=int, default=8192)
    parser.add_argument("--size", type=int, default=1600)
    parser.add_argument("--contrast", type=float, help="threshold of SIFT keypoints")
    parser.add_argument("--upright", action="store_true", help="keypoints without angles")
    parser.add_argument("--straighten", choices=get_args(StraightenWord), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)

    results = []
    for setting, scenes in settings(options):
        results.append({"setting": setting, "scenes": scenes})
        print(f"{label(setting)}: {STEERED_BY} {100 * mean_over(scenes, STEERED_BY):.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "two_view.json", {"results": results, "versions": versions()})
    table = as_table(results)
    write_whole(options.out / "two_view.md", table.encode())
    print(table, end="")


if __name__ == "__main__":
    main()
