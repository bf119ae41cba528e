"""`dift-geo evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from dift_geo.cli.flags import SKIPPED_SOME, add_extractor_flags, add_match_flags, command
from dift_geo.errors import InputError

__all__ = ["add_evaluate"]


# evaluate


def add_evaluate(commands: Any) -> None:
    from dift_geo.benchmark.homography.protocols import PROTOCOLS
    from dift_geo.geometry.robust import Estimator

    parser = command(
        commands,
        "evaluate",
        _evaluate,
        "HPatches-layout folders -> tables, JSON, pictures",
        "dift-geo evaluate hpatches/ out/ --protocol gluefactory --method tiny --method rootsift:descriptor=rootsift",
    )
    parser.add_argument(
        "dataset",
        type=Path,
        nargs="?",
        help="folder of sequences: images 1 to 6 and H_1_2 to H_1_6",
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        help="gets results.json, results.md, pairs.csv, pictures/, cache/",
    )
    parser.add_argument(
        "--protocol", choices=tuple(PROTOCOLS), default="dift", help="whose definitions"
    )
    add_extractor_flags(parser)
    parser.set_defaults(size=None, max_keypoints=None, command_line="")
    add_match_flags(parser)
    rows = parser.add_argument_group(
        "rows of the tables (default: one method, from the flags above)"
    )
    rows.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME[:FLAG=VALUE,...]",
        help="flags above, but for one",
    )
    rows.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="DIFT's npz files or hloc's HDF5",
    )
    rows.add_argument(
        "--matches",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="hloc's, for features of that NAME",
    )
    rows.add_argument(
        "--metric", choices=("cosine", "l2"), default="cosine", help="to match foreign features by"
    )
    rows.add_argument(
        "--keypoints",
        type=Path,
        metavar="DIR",
        help="describe at SEQUENCE-K.kp files, detect nothing",
    )
    rows.add_argument(
        "--cached",
        action="store_true",
        help="score the stores of the last run into OUT again, load no network",
    )
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument("--estimator", choices=get_args(Estimator), help="default: the protocol's")
    scoring.add_argument(
        "--max-error",
        type=_pixels_or_best,
        metavar="PX",
        help="inlier threshold, or best of 0.5 to 3",
    )
    scoring.add_argument(
        "--sequences", nargs="+", metavar="NAME", help="only these; patterns like 'v_*' work"
    )
    scoring.add_argument(
        "--include-large",
        action="store_true",
        help="also the eight sequences that protocols leave out",
    )
    scoring.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=SEQ,SEQ",
        help="a table for these sequences",
    )
    scoring.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples behind the intervals"
    )
    scoring.add_argument(
        "--pictures", type=int, default=3, metavar="N", help="best and worst pairs drawn per method"
    )
    scoring.add_argument(
        "--cache", type=Path, metavar="DIR", help="feature and match stores; default OUT/cache"
    )
    scoring.add_argument(
        "--compare",
        nargs="+",
        type=Path,
        metavar="OUT",
        help="finished runs side by side, nothing else",
    )
    scoring.add_argument(
        "--download", nargs="?", const="", metavar="URL", help="fetch HPatches into DATASET first"
    )
    scoring.add_argument(
        "--sha256", metavar="HEX", help="checksum of the download, if the server names none"
    )


def _pixels_or_best(text: str) -> Any:
    return text if text == "best" else float(text)


def _evaluate(
    dataset: Path | None, out: Path | None, compare: list[Path] | None, download: str | None, sha256: str | None,
    **options: Any,
) -> int:  # fmt: skip
    if compare:
        return _compare(compare, dataset)
    if dataset is None or (out is None and download is None):
        raise InputError("evaluate needs DATASET and OUT (or --compare OUT OUT)")
    if download is not None:
        from dift_geo.benchmark.homography.download import (
            HPATCHES_URL,
            download_hpatches,
            missing_files,
        )

        large = options["include_large"]
        print(
            download_hpatches(
                dataset, url=download or HPATCHES_URL, sha256=sha256, include_large=large
            )
        )
        missing = missing_files(dataset, large)
        if missing:
            print(f"{len(missing)} sequences are incomplete:")
        for sequence, gone in missing.items():
            print(f"  {sequence}: {'all' if len(gone) == 11 else ', '.join(gone)}")
    return 0 if out is None else _evaluate_methods(dataset, out, **options)


def _evaluate_methods(
    dataset: Path, out: Path, protocol: str, method: list[str], features: list[str], matches: list[str], metric: Any,
    keypoints: Path | None, cached: bool, estimator: Any, max_error: Any, sequences: list[str] | None,
    include_large: bool, group: list[str], bootstrap: int, pictures: int, cache: Path | None,
    command_line: str, **flags: Any,
) -> int:  # fmt: skip
    from dift_geo.backends.device import pick_device
    from dift_geo.benchmark.homography.data import read_benchmark
    from dift_geo.benchmark.homography.protocols import protocol_named
    from dift_geo.benchmark.methods import (
        AnyMethod,
        ForeignMethod,
        method_from_words,
        stored_methods,
    )
    from dift_geo.benchmark.run import evaluate

    chosen = protocol_named(protocol).with_estimator(estimator, max_error)
    benchmark = read_benchmark(dataset, sequences=sequences, include_large=include_large)
    flags["max_keypoints"] = flags["max_keypoints"] or chosen.max_keypoints
    flags["device"] = str(pick_device(flags["device"]))
    given = dict(_named(text) for text in matches)
    rows: list[AnyMethod] = []
    if cached:
        rows += stored_methods(out)
    elif method or not features:
        rows += [
            method_from_words(words, flags, keypoints) for words in method or [_name_of(flags)]
        ]
    for name, path in (_named(text) for text in features):
        file = given.pop(name, None)
        rows.append(
            ForeignMethod(
                name, Path(path), None if file is None else Path(file), metric, flags["ratio"]
            )
        )
    if given:
        raise InputError(f"--matches names {', '.join(given)}, which no --features names")
    groups = {name: value.split(",") for name, value in (_named(text) for text in group)}
    report = evaluate(
        benchmark, out, rows, chosen, cache=cache, groups=groups, seed=flags["seed"], draws=bootstrap, pictures=pictures,
        device=flags["device"], command=command_line,
    )  # fmt: skip
    print(report.markdown())
    for problem in report.results["problems"]:
        print(f"dift-geo: left out: {problem}", file=sys.stderr)
    return SKIPPED_SOME if report.results["problems"] else 0


def _named(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign or not value:
        raise InputError(f"got {text!r}, expected NAME=VALUE")
    return name, value


def _name_of(flags: dict[str, Any]) -> str:
    """What to call the one method that the flags describe: tiny, tiny-dense, rootsift,
    tiny+rootsift.
    """
    backend = Path(flags["backend"]).name + (f"-{flags['reading']}" if flags["reading"] else "")
    return str(flags["descriptor"]).replace("dift", backend)


def _compare(outs: list[Path], to: Path | None) -> int:
    from dift_geo.report.markdown import compare_runs

    report = compare_runs(outs)
    if to is not None:
        report.save(to)
    print(report.markdown())
    return 0
