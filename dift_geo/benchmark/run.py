"""From a folder and the name of a protocol to a task, and the evaluation of homographies in one
call. The only file that knows which tasks there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dift_geo.benchmark.homography.data import Benchmark, read_benchmark
from dift_geo.benchmark.homography.protocols import PROTOCOLS as HOMOGRAPHIES
from dift_geo.benchmark.homography.protocols import Protocol, protocol_named
from dift_geo.benchmark.homography.task import Homographies
from dift_geo.benchmark.joints.data import read_jhmdb
from dift_geo.benchmark.joints.task import VideoJoints
from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.methods import AnyMethod
from dift_geo.benchmark.relative_pose.data import Choice
from dift_geo.benchmark.relative_pose.layouts import read_posed_pairs
from dift_geo.benchmark.relative_pose.protocols import PROTOCOLS as POSES
from dift_geo.benchmark.relative_pose.task import RelativePoses
from dift_geo.benchmark.results import Evaluation
from dift_geo.benchmark.semantic.data import (
    KeypointPairs,
    read_cub,
    read_pf_willow,
    read_spair,
)
from dift_geo.benchmark.semantic.protocols import PROTOCOLS as KEYPOINTS
from dift_geo.benchmark.semantic.protocols import Over
from dift_geo.benchmark.semantic.task import KeypointTransfer
from dift_geo.benchmark.task import Task
from dift_geo.benchmark.video.data import read_davis
from dift_geo.benchmark.video.task import VideoObjects
from dift_geo.errors import InputError
from dift_geo.geometry.robust import Estimator
from dift_geo.matching.transfer import SoftArgmax
from dift_geo.types import Features

__all__ = [
    "JOINTS",
    "MAPPED",
    "PROTOCOLS",
    "VIDEO",
    "default_keypoints",
    "evaluate",
    "open_joints",
    "open_keypoints",
    "open_task",
    "open_video",
]

VIDEO = "davis2017"
JOINTS = "jhmdb"
MAPPED = (*KEYPOINTS, VIDEO, JOINTS)  # names of those that compare maps of whole images
PROTOCOLS = (*HOMOGRAPHIES, *POSES, *MAPPED)  # names of all
READERS: Mapping[str, Callable[[str | Path], KeypointPairs]] = {
    "pf-willow": read_pf_willow,
    "spair71k": read_spair,
    "cub": read_cub,
}


def open_task(
    folder: str | Path,
    protocol: str,
    *,
    estimator: Estimator | None = None,
    max_error_px: float | Literal["best"] | None = None,
    sequences: Sequence[str] | None = None,
    include_large: bool = False,
    pairs: str | Path | None = None,
    max_angle_deg: float | None = None,
    pairs_per_scene: int | None = None,
    seed: int = 0,
) -> Task[Any, Features]:
    """The task of a protocol on a folder of data.

    folder: the data, in a layout of the protocol.
    protocol: its name.
    estimator, max_error_px: instead of the protocol's, see `Protocol.with_estimator`.
    sequences: names or patterns of those to take, for relative poses of scenes; None takes all.
    include_large: also the sequences that protocols of homographies leave out.
    pairs, max_angle_deg, pairs_per_scene: for relative poses, which pairs count, see
        `relative_pose.layouts.read_posed_pairs` and `relative_pose.data.Choice`.
    seed: of RANSAC and of the draw of pairs.

    Raises InputError for options that the protocol does not know.
    """
    if protocol in POSES:
        if include_large:
            raise InputError(f"protocol {protocol} has no large sequences to include")
        choice = Choice(
            scenes=sequences,
            max_angle_deg=max_angle_deg,
            pairs_per_scene=pairs_per_scene,
            seed=seed,
        )
        scored = POSES[protocol].with_estimator(estimator, max_error_px)
        return RelativePoses(read_posed_pairs(folder, choice, pairs=pairs), scored, choice, seed)
    if protocol not in HOMOGRAPHIES:
        known = ", ".join((*HOMOGRAPHIES, *POSES))
        raise InputError(f"protocol is {protocol!r}, expected one of {known}")
    if (pairs, max_angle_deg, pairs_per_scene) != (None, None, None):
        raise InputError(
            f"protocol {protocol} scores every pair of a sequence; pairs are chosen under "
            f"{', '.join(POSES)} alone"
        )
    chosen = HOMOGRAPHIES[protocol].with_estimator(estimator, max_error_px)
    benchmark = read_benchmark(folder, sequences=sequences, include_large=include_large)
    return Homographies(benchmark, chosen, seed)


def open_keypoints(
    folder: str | Path,
    protocol: str,
    *,
    categories: Sequence[str] | None = None,
    over: Over | None = None,
    soft: SoftArgmax | None = None,
    seed: int = 0,
) -> KeypointTransfer:
    """The task of a protocol of semantic correspondence on a folder in its layout.

    categories: of those to take; None takes all.
    over: what thresholds are shares of, instead of the protocol's.
    soft: the window soft-argmax instead of the best pixel.
    seed: of the resampling.
    """
    if protocol not in KEYPOINTS:
        raise InputError(f"protocol is {protocol!r}, expected one of {', '.join(KEYPOINTS)}")
    scored = KEYPOINTS[protocol]
    if over is not None and over != scored.over:
        # what others published stands for another threshold
        scored = replace(scored, over=over, quoted={}, quoted_from="")
    return KeypointTransfer(READERS[protocol](folder).only(categories), scored, soft, seed)


def open_video(
    folder: str | Path, *, sequences: Sequence[str] | None = None, seed: int = 0
) -> VideoObjects:
    """Objects of the videos of a folder in DAVIS-2017's layout.

    sequences: names or patterns of those to take; None takes all of its list.
    seed: of the resampling.
    """
    return VideoObjects(read_davis(folder, sequences), seed)


def open_joints(
    folder: str | Path, *, clips: Sequence[str] | None = None, seed: int = 0
) -> VideoJoints:
    """Joints of the people in the clips of a folder in JHMDB's layout.

    clips: names or patterns of those to take; None takes all of its list.
    seed: of the resampling.
    """
    return VideoJoints(read_jhmdb(folder, clips), seed)


def default_keypoints(protocol: str) -> int:
    """Keypoints of a method that says nothing else. Raises InputError for an unknown protocol."""
    if protocol in POSES:
        return POSES[protocol].max_keypoints
    return protocol_named(protocol).max_keypoints


def evaluate(
    benchmark: Benchmark,
    out: str | Path,
    methods: Sequence[AnyMethod[Features]],
    protocol: Protocol,
    *,
    cache: str | Path | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    draws: int = 1000,
    pictures: int = 3,
    device: str = "cpu",
    command: str | None = None,
) -> Evaluation:
    """Score methods on homographies and write results.json, results.md, pairs.csv and pictures into
    `out`. The first method is the reference of the differences.

    cache: folder of the feature and match stores, default OUT/cache; one may serve many runs.
    groups: named sets of sequences that get tables of their own besides all, i and v.
    seed: of RANSAC and of the resampling.
    draws: resamples behind the intervals.
    pictures: best and worst pairs drawn per method; 0 draws nothing.
    device: where matching runs.
    command: what the results say they were made by; default: the command line of this process.

    Raises InputError when methods share a name or no pair is usable; what is wrong with single
    pairs is in the results. `evaluate_task` does the same for any task.
    """
    return evaluate_task(
        Homographies(benchmark, protocol, seed),
        out,
        methods,
        cache=cache,
        groups=groups,
        draws=draws,
        pictures=pictures,
        device=device,
        command=command,
    )
