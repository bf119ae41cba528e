"""The command line: flags in, one call, one line or one JSON file out. All the work is elsewhere.

Exit codes: 0 done, 1 cannot do it (one line on stderr says why), 2 wrong flags, 3 done but some images were skipped,
130 interrupted (finished work is kept).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from dift_geo import __version__

__all__ = ["build_parser", "main"]

SKIPPED_SOME = 3


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="dift-geo", description="Correspondence from diffusion models, for hloc and COLMAP pipelines."
    )
    parser.add_argument("--version", action="version", version=f"dift-geo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_reconstruct, _add_extract, _add_pairs, _add_match, _add_homography, _add_calibrate):
        add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = vars(build_parser().parse_args(argv))
    logging.basicConfig(format="dift-geo: %(message)s", level=logging.WARNING)
    options.pop("command")
    run = options.pop("run")
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


def _add_extractor_flags(parser: argparse.ArgumentParser, size: int = 1600, max_keypoints: int = 4096) -> None:
    from dift_geo.backends.policy import Precision
    from dift_geo.extractors import DESCRIPTORS

    group = parser.add_argument_group("features")
    group.add_argument("--backend", default="tiny", metavar="NAME", help="tiny, sd2.1, adm, ..., a model folder or a hub id")
    group.add_argument(
        "--detector", default="sift", metavar="NAME", help="sift, superpoint, or the folder or hub id of SuperPoint weights"
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

    own = (
        "backend",
        "detector",
        "descriptor",
        "reading",
        "max_keypoints",
        "size",
        "projection",
        "mode",
        "precision",
        "max_batch",
    )
    flags = {name: options.pop(name) for name in own}
    options["device"] = str(pick_device(options["device"]))
    return build_extractor(**flags, seed=options["seed"], device=options["device"])


def _add_match_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ratio", type=float, metavar="R", help="Lowe's ratio test, both ways; off by default")
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
    _add_match_flags(parser)
    parser.add_argument("--pairs", default="exhaustive", metavar="HOW", help="exhaustive, sequential or a pairs file")
    parser.add_argument("--overlap", type=int, default=10, metavar="N", help="images ahead, with --pairs sequential")
    parser.add_argument("--camera-mode", choices=("auto", "single", "per-folder", "per-image"), default="auto")
    parser.add_argument("--camera-model", default="SIMPLE_RADIAL", metavar="MODEL", help="a COLMAP camera model")
    parser.add_argument("--intrinsics", type=Path, metavar="FILE", help="known cameras: lines `IMAGE_NAME|* MODEL PARAMS...`")
    parser.add_argument("--mapper", choices=("incremental", "global"), default="incremental")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")


def _reconstruct(images: Path, out: Path, intrinsics: Path | None, **options: Any) -> int:
    from dift_geo.reconstruction import read_intrinsics
    from dift_geo.sfm import reconstruct

    known = None if intrinsics is None else read_intrinsics(intrinsics)
    result = reconstruct(images, out, _extractor(options), intrinsics=known, **options)
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
    parser.add_argument("--dim", type=int, default=128, help="of the projected descriptor")
    parser.add_argument(
        "--views", type=int, default=0, metavar="N", help="synthetic views per photo; 0 chooses by their number"
    )


def _calibrate(images: Path, out: Path, dim: int, views: int, **options: Any) -> None:
    from dift_geo.calibration import calibrate
    from dift_geo.diffusion import Dift

    seed = options["seed"]
    dift = next((part for part in _extractor(options).describers if isinstance(part, Dift)), None)
    if dift is None:
        raise ValueError("calibrate fits a projection for DIFT; expected --descriptor dift")
    result = calibrate(images, dift, dim=dim, views=views, seed=seed)
    result.projection.save(out)
    print(
        f"fitted on {result.pairs} pairs; on {result.held_back} held-back views MMA@3px "
        f"{100 * result.mma_before:.1f} % raw -> {100 * result.mma_after:.1f} % projected -> {out}"
    )


if __name__ == "__main__":
    sys.exit(main())
