"""Rows of `dift-geo evaluate` for protocols that compare maps of whole images: which flags they
have, and what the words of `--method` mean there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dift_geo.cli.flags import USUAL
from dift_geo.cli.rows import Opened, named
from dift_geo.errors import InputError
from dift_geo.options import add_flags

if TYPE_CHECKING:
    from dift_geo.benchmark.semantic.protocols import Over
    from dift_geo.cli.flags import Flags
    from dift_geo.mapper import MapOptions, Mapper
    from dift_geo.video.options import PropagationOptions

__all__ = ["CARRIED", "add_maps", "add_propagation", "open_mapped"]

CARRIED = "how labels are carried; default: what was published for the backend"
SHARED = ("backend", "precision", "max_batch", "seed", "device")  # with extractors


def add_maps(group: argparse._ArgumentGroup) -> None:
    """Flags of their own."""
    from dift_geo.benchmark.semantic.protocols import Over

    group.add_argument(
        "--threshold-of",
        choices=get_args(Over),
        help="what thresholds of keypoints are shares of; default: the protocol's",
    )
    group.add_argument(
        "--soft-argmax",
        action="store_true",
        help="the weighted mean around the best pixel instead of that pixel",
    )
    group.add_argument(
        "--predictions",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="masks of another program, FOLDER/SEQUENCE/FRAME.png, as a row for davis2017",
    )


def add_propagation(group: argparse._ArgumentGroup) -> None:
    """Flags of how labels are carried through videos."""
    from dift_geo.video.options import PropagationOptions

    add_flags(group, PropagationOptions)


def _take_map_options(protocol: str, flags: Flags) -> MapOptions:
    """What holds for every row that says nothing else; the flags of extractors and of matching are
    taken out of `flags`. Raises InputError for one that has nothing to act on.
    """
    from dift_geo.backends.device import pick_device
    from dift_geo.extractor import ExtractorOptions
    from dift_geo.mapper import MapOptions
    from dift_geo.matching.options import MatchOptions
    from dift_geo.options import option_names

    shared = {name: flags.pop(name) for name in SHARED}
    usual: dict[str, object] = {**USUAL, "max_keypoints": None, "size": None, "keypoints": None}
    plain = (ExtractorOptions(), MatchOptions())
    names = [*option_names(ExtractorOptions), *option_names(MatchOptions), "keypoints"]
    for name in names:
        if name in shared:
            continue
        unset = usual[name] if name in usual else _default(plain, name)
        if flags.pop(name, unset) != unset:
            raise InputError(
                f"protocol {protocol} compares maps of whole images, on which "
                f"--{name.replace('_', '-')} has nothing to act; leave it out"
            )
    options = MapOptions(**shared)  # type: ignore[arg-type]  # argparse checked them
    return replace(options, device=str(pick_device(options.device)))


def _default(plain: Sequence[object], name: str) -> object:
    return next(vars(options)[name] for options in plain if name in vars(options))


def open_mapped(
    dataset: Path,
    protocol: str,
    flags: Flags,
    *,
    sequences: Sequence[str] | None,
    method: Sequence[str],
    threshold_of: Over | None,
    soft_argmax: bool,
    predictions: Sequence[str],
    **propagation: Any,
) -> Opened[Any, Any]:
    """The task of a protocol and its rows.

    flags: those of extractors and of matching.
    propagation: fields of `PropagationOptions`.
    """
    from dift_geo.benchmark.run import JOINTS, VIDEO, open_keypoints
    from dift_geo.benchmark.semantic.methods import MapMethod
    from dift_geo.matching.transfer import SoftArgmax
    from dift_geo.video.options import PropagationOptions

    carried = PropagationOptions(**propagation)
    if protocol == VIDEO:
        _refuse(protocol, threshold_of=threshold_of, soft_argmax=soft_argmax)
        return _open_video(dataset, protocol, flags, sequences, method, predictions, carried)
    _refuse(protocol, predictions=predictions)
    if protocol == JOINTS:
        _refuse(protocol, threshold_of=threshold_of, soft_argmax=soft_argmax)
        return _open_joints(dataset, protocol, flags, sequences, method, carried)
    _refuse(protocol, **propagation)
    usual = _take_map_options(protocol, flags)
    soft = SoftArgmax() if soft_argmax else None
    task = open_keypoints(
        dataset, protocol, categories=sequences, over=threshold_of, soft=soft, seed=usual.seed
    )
    told = task.prompts()
    rows = _rows(method, usual)
    methods = [MapMethod(name, options.build("semantic"), told) for name, options in rows]
    return Opened(task, methods, usual.device)


def _open_video(
    dataset: Path,
    protocol: str,
    flags: Flags,
    sequences: Sequence[str] | None,
    method: Sequence[str],
    predictions: Sequence[str],
    carried: PropagationOptions,
) -> Opened[Any, Any]:
    from dift_geo.benchmark.run import open_video
    from dift_geo.benchmark.video.methods import PredictedMasks, TrackedMasks

    usual = _take_map_options(protocol, flags)
    task = open_video(dataset, sequences=sequences, seed=usual.seed)
    rows = _carried(method, usual, carried, alone=not predictions)
    tracked = [TrackedMasks(name, mapper, task.data, asked) for name, mapper, asked in rows]
    given = [PredictedMasks(name, Path(folder)) for name, folder in named(predictions).items()]
    return Opened(task, [*tracked, *given], usual.device)


def _open_joints(
    dataset: Path,
    protocol: str,
    flags: Flags,
    clips: Sequence[str] | None,
    method: Sequence[str],
    carried: PropagationOptions,
) -> Opened[Any, Any]:
    from dift_geo.benchmark.joints.methods import CarriedJoints
    from dift_geo.benchmark.run import open_joints

    usual = _take_map_options(protocol, flags)
    task = open_joints(dataset, clips=clips, seed=usual.seed)
    rows = _carried(method, usual, carried)
    methods = [CarriedJoints(name, mapper, task.data, asked) for name, mapper, asked in rows]
    return Opened(task, methods, usual.device)


def _rows(method: Sequence[str], usual: MapOptions) -> list[tuple[str, MapOptions]]:
    """The words of `--method`; without any, one row for the flags."""
    from dift_geo.benchmark.words import map_options_from_words

    return [map_options_from_words(word, usual) for word in method or _one(usual)]


def _carried(
    method: Sequence[str], usual: MapOptions, carried: PropagationOptions, alone: bool = True
) -> list[tuple[str, Mapper, PropagationOptions]]:
    """The same of rows for videos. alone: without words there is one, as there are no others."""
    from dift_geo.benchmark.words import carried_from_words
    from dift_geo.video.options import PropagationOptions

    words = method or (_one(usual) if alone else [])
    rows = [carried_from_words(word, usual, carried) for word in words]
    built = [(name, own.build("video"), asked) for name, own, asked in rows]
    if all(mapper.still for _, mapper, _ in built) and carried != PropagationOptions():
        raise InputError(
            "no row carries labels by what it sees, so flags of propagation have nothing to act "
            "on; leave them out"
        )
    return built


def _one(usual: MapOptions) -> list[str]:
    return [Path(usual.backend).name.replace(":", "-")]


def _refuse(protocol: str, **given: object) -> None:
    """Refuse flags of the other protocols of maps."""
    for name, value in given.items():
        if value is not None and value is not False and value != []:  # 0 is something
            raise InputError(
                f"protocol {protocol} has nothing that --{name.replace('_', '-')} could act on; "
                "leave it out"
            )
