"""The command line: flags in, one call, one line or one JSON file out. All the work is elsewhere.

Exit codes: 0 done, 1 cannot do it (one line on stderr says why), 2 wrong flags, 3 done but some images were skipped,
130 interrupted (finished work is kept).
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from dift_geo import __version__

__all__ = ["build_parser", "main"]

SKIPPED_SOME = 3
EXTRACTOR_FLAGS = (
    "backend", "detector", "descriptor", "reading", "max_keypoints", "size", "projection", "mode", "precision", "max_batch"
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="dift-geo", description="Correspondence from diffusion models, for hloc and COLMAP pipelines."
    )
    parser.add_argument("--version", action="version", version=f"dift-geo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    roads = (_add_reconstruct, _add_extract, _add_pairs, _add_match, _add_homography, _add_calibrate, _add_evaluate)
    for add in (*roads, _add_import, _add_export):
        add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = vars(build_parser().parse_args(argv))
    logging.basicConfig(format="dift-geo: %(message)s", level=logging.WARNING)
    options.pop("command")
    run = options.pop("run")
    if "command_line" in options:  # commands that keep it in their results
        options["command_line"] = shlex.join(["dift-geo", *(sys.argv[1:] if argv is None else argv)])
    try:
        return int(run(**options) or 0)
    except KeyboardInterrupt:
        print("dift-geo: interrupted; finished work is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"dift-geo: {' '.join(str(text).split())}", file=sys.stderr)
        return 1


# flags that several commands share


def _command(commands: Any, name: str, run: Any, summary: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=type("_Help", (argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter), {}),
    )
    parser.set_defaults(run=run)
    return parser  # type: ignore[no-any-return]


def _add_extractor_flags(parser: argparse.ArgumentParser, size: int = 1600, max_keypoints: int = 8192) -> None:
    from dift_geo.backends.policy import Precision
    from dift_geo.extractors import DESCRIPTORS

    group = parser.add_argument_group("features")
    group.add_argument("--backend", default="tiny", metavar="NAME", help="tiny, sd2.1, adm, ..., a model folder or a hub id")
    group.add_argument(
        "--detector", default="sift", metavar="NAME", help="sift, superpoint (or its folder or hub id), colmap:DATABASE"
    )
    group.add_argument("--descriptor", default="dift", choices=DESCRIPTORS, help="what is computed at the keypoints")
    group.add_argument("--reading", choices=("dense", "oriented"), help="default: what suits the backend")
    group.add_argument("--max-keypoints", type=int, default=max_keypoints, metavar="N", help="per image")
    group.add_argument("--size", type=int, default=size, metavar="PX", help="longest side the network and detector see")
    group.add_argument("--projection", metavar="FILE", help="a projection fitted by `dift-geo calibrate`")
    group.add_argument("--seed", type=int, default=0, help="of noise and RANSAC")
    group.add_argument("--device", default="cpu", help="cpu, cuda, mps, or auto for the best there is")
    group.add_argument("--mode", choices=("default", "paper"), default="default", help="paper: published settings of SD or ADM")
    group.add_argument("--precision", choices=get_args(Precision), default="auto", help="auto: half on a GPU")
    group.add_argument("--max-batch", type=int, metavar="N", help="images or draws at once; bounds memory")


def _extractor(options: dict[str, Any]) -> Any:
    """Take the extractor's flags out of `options` and build it."""
    from dift_geo.backends.policy import pick_device
    from dift_geo.extractors import build_extractor

    flags = {name: options.pop(name) for name in EXTRACTOR_FLAGS}
    options["device"] = str(pick_device(options["device"]))
    return build_extractor(**flags, seed=options["seed"], device=options["device"])


def _add_match_flags(parser: argparse.ArgumentParser, ratio: float | None = None) -> None:
    parser.add_argument(
        "--ratio", type=float, default=ratio, metavar="R", help="Lowe's ratio test, both ways; 1 or none is off"
    )
    parser.add_argument("--min-similarity", type=float, metavar="C", help="least cosine of a match; off by default")


# reconstruct


def _add_reconstruct(commands: Any) -> None:
    parser = _command(
        commands,
        "reconstruct",
        _reconstruct,
        "photos -> COLMAP model",
        "dift-geo reconstruct photos/ out/",
    )
    parser.add_argument("images", type=Path, help="folder of photos, read recursively")
    parser.add_argument("out", type=Path, help="gets features.h5, matches.h5, pairs.txt, database.db, sparse/, summary.json")
    _add_extractor_flags(parser)
    _add_match_flags(parser, ratio=0.95)
    parser.add_argument("--features", type=Path, metavar="FILE", help="made before, ours or hloc's: nothing is extracted")
    parser.add_argument("--matches", type=Path, metavar="FILE", help="made before, of --features: nothing is matched")
    parser.add_argument("--pairs", metavar="HOW", help="exhaustive (or what --matches holds), sequential or a pairs file")
    parser.add_argument("--overlap", type=int, default=10, metavar="N", help="images ahead, with --pairs sequential")
    parser.add_argument("--camera-mode", choices=("auto", "single", "per-folder", "per-image"), default="auto")
    parser.add_argument("--camera-model", default="SIMPLE_RADIAL", metavar="MODEL", help="a COLMAP camera model")
    parser.add_argument("--intrinsics", type=Path, metavar="FILE", help="known cameras: lines `IMAGE_NAME|* MODEL PARAMS...`")
    parser.add_argument("--mapper", choices=("incremental", "global"), default="incremental")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")


def _reconstruct(
    images: Path, out: Path, intrinsics: Path | None, features: Path | None, matches: Path | None, **options: Any
) -> int:
    from dift_geo.reconstruction import read_intrinsics
    from dift_geo.sfm import reconstruct, reconstruct_from_files

    options["intrinsics"] = None if intrinsics is None else read_intrinsics(intrinsics)
    if features is not None:
        unused = {*EXTRACTOR_FLAGS, "strict"}
        kept = {name: value for name, value in options.items() if name not in unused}
        result = reconstruct_from_files(images, out, features, matches, **kept)
    elif matches is not None:
        raise ValueError("--matches needs --features: matches are indices into the features they were made of")
    else:
        options["pairs"] = options["pairs"] or "exhaustive"
        result = reconstruct(images, out, _extractor(options), **options)
    s = result.summary
    print(
        f"{s['registered']}/{s['images']} images registered, {s['points']} points, "
        f"{s['reprojection_px']:.3f} px reprojection error -> {result.folder}"
    )
    return _report_skipped(s["skipped"])


def _report_skipped(skipped: list[str]) -> int:
    if skipped:
        print(f"dift-geo: {len(skipped)} unreadable image(s) skipped: {', '.join(skipped)}", file=sys.stderr)
    return SKIPPED_SOME if skipped else 0


# extract, pairs, match


def _add_extract(commands: Any) -> None:
    parser = _command(commands, "extract", _extract, "photos -> features store", "dift-geo extract photos/ features.h5")
    parser.add_argument("images", type=Path)
    parser.add_argument("features", type=Path, help="hloc-compatible HDF5")
    _add_extractor_flags(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")


def _extract(images: Path, features: Path, strict: bool, **options: Any) -> int:
    from dift_geo.images import list_images
    from dift_geo.pipeline import extract_images

    names = list_images(images)
    if not names:
        raise ValueError(f"{images} holds no images")
    skipped = extract_images(images, names, _extractor(options), features, strict=strict)
    if len(skipped) == len(names):
        raise ValueError(f"none of the {len(names)} images in {images} can be read")
    print(f"{len(names) - len(skipped)} images -> {features}")
    return _report_skipped(skipped)


def _add_pairs(commands: Any) -> None:
    parser = _command(
        commands, "pairs", _pairs, "features store -> pairs file", "dift-geo pairs features.h5 pairs.txt --pairs sequential"
    )
    parser.add_argument("features", type=Path, help="a features store, or a folder of images")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", default="exhaustive", metavar="HOW", help="exhaustive, sequential or a pairs file to check")
    parser.add_argument("--overlap", type=int, default=10, metavar="N", help="images ahead, with --pairs sequential")


def _pairs(features: Path, out: Path, pairs: str, overlap: int) -> None:
    from dift_geo.images import list_images
    from dift_geo.pairs import write_pairs
    from dift_geo.sfm import choose_pairs
    from dift_geo.store import FeatureStore

    names = list_images(features) if features.is_dir() else list(FeatureStore(features))
    chosen = choose_pairs(names, pairs, overlap)
    write_pairs(out, chosen)
    print(f"{len(chosen)} pairs of {len(names)} images -> {out}")


def _add_match(commands: Any) -> None:
    parser = _command(
        commands, "match", _match, "features + pairs -> matches store", "dift-geo match features.h5 pairs.txt matches.h5"
    )
    parser.add_argument("features", type=Path, help="ours or hloc's")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("matches", type=Path, help="hloc-compatible HDF5")
    _add_match_flags(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps")


def _match(features: Path, pairs: Path, matches: Path, **options: Any) -> None:
    from dift_geo.pairs import read_pairs
    from dift_geo.pipeline import match_pairs
    from dift_geo.store import FeatureStore

    with FeatureStore(features) as store:
        chosen = read_pairs(pairs, list(store))
    match_pairs(features, chosen, matches, **options)
    print(f"{len(chosen)} pairs -> {matches}")


# COLMAP's own files


def _add_import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        _import,
        "COLMAP database -> features store",
        "dift-geo import database.db features.h5 --matches matches.h5",
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("features", type=Path, help="gets COLMAP's keypoints and descriptors as hloc-compatible HDF5")
    parser.add_argument("--matches", type=Path, metavar="FILE", help="also gets COLMAP's matches")


def _import(database: Path, features: Path, matches: Path | None) -> None:
    from dift_geo.colmap_files import import_database

    images, pairs = import_database(database, features, matches)
    print(f"{images} images -> {features}" + (f", {pairs} pairs -> {matches}" if matches else ""))


def _add_export(commands: Any) -> None:
    parser = _command(
        commands,
        "export",
        _export,
        "features and matches -> COLMAP database or text files",
        "dift-geo export features.h5 pairs.txt matches.h5 --database database.db --images photos/",
    )
    parser.add_argument("features", type=Path, help="ours or hloc's")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("matches", type=Path, help="ours or hloc's")
    parser.add_argument("--database", type=Path, metavar="FILE", help="new, or one that has the features' keypoints")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="the photos; needed for a new database")
    parser.add_argument("--text", type=Path, metavar="FOLDER", help="files for COLMAP's feature_importer and matches_importer")
    parser.add_argument("--verified", action="store_true", help="declare the matches verified: COLMAP will not check them")
    parser.add_argument("--camera-mode", choices=("auto", "single", "per-folder", "per-image"), default="auto")
    parser.add_argument("--camera-model", default="SIMPLE_RADIAL", metavar="MODEL", help="a COLMAP camera model")


def _export(
    features: Path, pairs: Path, matches: Path, database: Path | None, images: Path | None, text: Path | None, **options: Any
) -> None:
    from dift_geo.colmap_files import export_database, export_text
    from dift_geo.pairs import read_pairs
    from dift_geo.store import FeatureStore

    if database is None and text is None:
        raise ValueError("nowhere to export to; give --database FILE or --text FOLDER")
    if database is not None and images is None and not database.is_file():
        raise ValueError(f"{database} is a new database; give --images FOLDER for its cameras")
    with FeatureStore(features) as store:
        chosen = read_pairs(pairs, list(store))
    if database is not None:
        export_database(database, images or "", features, chosen, matches, **options)
    if text is not None:
        export_text(text, features, chosen, matches)
    print(f"{len(chosen)} pairs -> {', '.join(str(target) for target in (database, text) if target)}")


# homography


def _add_homography(commands: Any) -> None:
    from dift_geo.geometry import Estimator

    parser = _command(
        commands, "homography", _homography, "two photos -> matches and homography", "dift-geo homography a.jpg b.jpg --out ab/"
    )
    parser.add_argument("image0", type=Path)
    parser.add_argument("image1", type=Path)
    parser.add_argument("--out", type=Path, default=Path("homography"), help="gets homography.json and matches.png")
    _add_extractor_flags(parser, size=1024, max_keypoints=2048)
    _add_match_flags(parser)
    parser.add_argument("--estimator", choices=get_args(Estimator), default="kornia")
    parser.add_argument("--max-error", type=float, default=3.0, metavar="PX", help="inlier threshold in pixels of image 1")


def _homography(
    image0: Path, image1: Path, out: Path, ratio: float | None, min_similarity: float | None, estimator: Any, max_error: float,
    **options: Any,
) -> None:  # fmt: skip
    from dift_geo.drawing import draw_matches
    from dift_geo.geometry import estimate_homography
    from dift_geo.images import read_image, write_image
    from dift_geo.matching import match_mutual_nn

    extractor = _extractor(options)
    seed, device = options["seed"], options["device"]
    picture0, picture1 = read_image(image0), read_image(image1)
    f0, f1 = extractor.extract(picture0, str(image0)), extractor.extract(picture1, str(image1))
    matches = match_mutual_nn(f0.descriptors, f1.descriptors, ratio=ratio, min_similarity=min_similarity, device=device)
    xy0, xy1 = f0.keypoints.xy[matches.pairs[:, 0]], f1.keypoints.xy[matches.pairs[:, 1]]
    found = estimate_homography(xy0, xy1, estimator=estimator, max_error_px=max_error, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "image0": str(image0),
        "image1": str(image1),
        "keypoints": [len(f0), len(f1)],
        "matches": len(matches),
        "inliers": 0 if found is None else int(found.inliers.sum()),
        "H_1_from_0": None if found is None else found.H_1_from_0.tolist(),
        "estimator": estimator,
        "max_error_px": max_error,
        "recipe": extractor.recipe(),
    }
    (out / "homography.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_image(out / "matches.png", draw_matches(picture0, picture1, xy0, xy1, None if found is None else found.inliers))
    if found is None:
        raise RuntimeError(f"no homography fits the {len(matches)} matches; the picture in {out} shows them")
    print(f"{record['inliers']} inliers of {len(matches)} matches -> {out}")


# calibrate


def _add_calibrate(commands: Any) -> None:
    parser = _command(
        commands,
        "calibrate",
        _calibrate,
        "photos -> projection for any backend",
        "dift-geo calibrate photos/ own.safetensors",
    )
    parser.add_argument("images", type=Path, help="folder of photos like those to be matched; a few dozen will do")
    parser.add_argument("out", type=Path, help="projection for --projection")
    _add_extractor_flags(parser, size=640, max_keypoints=1000)
    parser.add_argument("--dim", type=int, help="of the projected descriptor; default: 128, 256 for dift+rootsift")
    parser.add_argument(
        "--views", type=int, default=0, metavar="N", help="synthetic views per photo; 0 chooses by their number"
    )


def _calibrate(images: Path, out: Path, dim: int | None, views: int, **options: Any) -> None:
    from dift_geo.calibration import calibrate
    from dift_geo.diffusion import Dift

    seed = options["seed"]
    dift, *others = _extractor(options).describers
    if not isinstance(dift, Dift):
        raise ValueError("calibrate fits a projection for DIFT; expected --descriptor dift or dift+rootsift")
    if others:
        dift = dift.beside_of(others[0], None)
    result = calibrate(images, dift, dim=dim, views=views, seed=seed)
    result.projection.save(out)
    if result.mma_after <= result.mma_before:
        print("dift-geo: the projection does not help on held-back photos; fit it on more of them", file=sys.stderr)
    print(
        f"fitted on {result.pairs} pairs; on {result.held_back} held-back views MMA@3px "
        f"{100 * result.mma_before:.1f} % raw -> {100 * result.mma_after:.1f} % projected -> {out}"
    )


# evaluate


def _add_evaluate(commands: Any) -> None:
    from dift_geo.geometry import Estimator
    from dift_geo.protocols import PROTOCOLS

    parser = _command(
        commands,
        "evaluate",
        _evaluate,
        "HPatches-layout folders -> tables, JSON, pictures",
        "dift-geo evaluate hpatches/ out/ --protocol gluefactory --method tiny --method rootsift:descriptor=rootsift",
    )
    parser.add_argument("dataset", type=Path, nargs="?", help="folder of sequences: images 1 to 6 and H_1_2 to H_1_6")
    parser.add_argument("out", type=Path, nargs="?", help="gets results.json, results.md, pairs.csv, pictures/, cache/")
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="dift", help="whose definitions")
    _add_extractor_flags(parser)
    parser.set_defaults(size=None, max_keypoints=None, command_line="")
    _add_match_flags(parser)
    rows = parser.add_argument_group("rows of the tables (default: one method, from the flags above)")
    rows.add_argument("--method", action="append", default=[], metavar="NAME[:FLAG=VALUE,...]", help="flags above, but for one")
    rows.add_argument("--features", action="append", default=[], metavar="NAME=PATH", help="DIFT's npz files or hloc's HDF5")
    rows.add_argument("--matches", action="append", default=[], metavar="NAME=FILE", help="hloc's, for features of that NAME")
    rows.add_argument("--metric", choices=("cosine", "l2"), default="cosine", help="to match foreign features by")
    rows.add_argument("--keypoints", type=Path, metavar="DIR", help="describe at SEQUENCE-K.kp files, detect nothing")
    rows.add_argument("--cached", action="store_true", help="score the stores of the last run into OUT again, load no network")
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument("--estimator", choices=get_args(Estimator), help="default: the protocol's")
    scoring.add_argument("--max-error", type=_pixels_or_best, metavar="PX", help="inlier threshold, or best of 0.5 to 3")
    scoring.add_argument("--sequences", nargs="+", metavar="NAME", help="only these; patterns like 'v_*' work")
    scoring.add_argument("--include-large", action="store_true", help="also the eight sequences that protocols leave out")
    scoring.add_argument("--group", action="append", default=[], metavar="NAME=SEQ,SEQ", help="a table for these sequences")
    scoring.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples behind the intervals")
    scoring.add_argument("--pictures", type=int, default=3, metavar="N", help="best and worst pairs drawn per method")
    scoring.add_argument("--cache", type=Path, metavar="DIR", help="feature and match stores; default OUT/cache")
    scoring.add_argument("--compare", nargs="+", type=Path, metavar="OUT", help="finished runs side by side, nothing else")
    scoring.add_argument("--download", nargs="?", const="", metavar="URL", help="fetch HPatches into DATASET first")
    scoring.add_argument("--sha256", metavar="HEX", help="checksum of the download, if the server names none")


def _pixels_or_best(text: str) -> Any:
    return text if text == "best" else float(text)


def _evaluate(
    dataset: Path | None, out: Path | None, compare: list[Path] | None, download: str | None, sha256: str | None,
    **options: Any,
) -> int:  # fmt: skip
    if compare:
        return _compare(compare, dataset)
    if dataset is None or (out is None and download is None):
        raise ValueError("evaluate needs DATASET and OUT (or --compare OUT OUT)")
    if download is not None:
        from dift_geo.benchmark_download import HPATCHES_URL, download_hpatches, missing_files

        large = options["include_large"]
        print(download_hpatches(dataset, url=download or HPATCHES_URL, sha256=sha256, include_large=large))
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
    from dift_geo.backends.policy import pick_device
    from dift_geo.benchmark_data import read_benchmark
    from dift_geo.benchmark_methods import AnyMethod, ForeignMethod, method_from_words, stored_methods
    from dift_geo.evaluation import evaluate
    from dift_geo.protocols import protocol_named

    chosen = protocol_named(protocol).with_estimator(estimator, max_error)
    benchmark = read_benchmark(dataset, sequences=sequences, include_large=include_large)
    flags["max_keypoints"] = flags["max_keypoints"] or chosen.max_keypoints
    flags["device"] = str(pick_device(flags["device"]))
    given = dict(_named(text) for text in matches)
    rows: list[AnyMethod] = []
    if cached:
        rows += stored_methods(out)
    elif method or not features:
        rows += [method_from_words(words, flags, keypoints) for words in method or [_name_of(flags)]]
    for name, path in (_named(text) for text in features):
        file = given.pop(name, None)
        rows.append(ForeignMethod(name, Path(path), None if file is None else Path(file), metric, flags["ratio"]))
    if given:
        raise ValueError(f"--matches names {', '.join(given)}, which no --features names")
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
        raise ValueError(f"got {text!r}, expected NAME=VALUE")
    return name, value


def _name_of(flags: dict[str, Any]) -> str:
    """What to call the one method that the flags describe: tiny, tiny-dense, rootsift, tiny+rootsift."""
    backend = Path(flags["backend"]).name + (f"-{flags['reading']}" if flags["reading"] else "")
    return str(flags["descriptor"]).replace("dift", backend)


def _compare(outs: list[Path], to: Path | None) -> int:
    from dift_geo.benchmark_report import compare_runs

    report = compare_runs(outs)
    if to is not None:
        report.save(to)
    print(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
