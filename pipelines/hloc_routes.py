#!/usr/bin/env python3
"""Which of hloc's routes work with our features and matches, on your photos and your copy of hloc?
Each one is run.

    python pipelines/hloc_routes.py photos/ out/ --hloc ../Hierarchical-Localization
    python pipelines/hloc_routes.py photos/ out/ --hloc SITE_PACKAGES/deep_image_matching/thirdparty

Two routes run inside hloc's loops with our plugin (extract, match); the others read the files of
`dift-geo extract` and `dift-geo match`. What does not work is tried again with
`register(fix_two_view_config=True)`. Reads only the photos; --hloc is the folder in which `import
hloc` finds it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

KEEP_LINE = "ROUTE-RESULT "


def extract(w):
    """extract_features.main with our extractor"""
    from hloc import extract_features

    path = extract_features.main(
        w.conf, w.images, w.out, feature_path=w.out / "plugin.h5", overwrite=True
    )
    return f"{len(w.store(path))} images"


def match(w):
    """match_features.main with our matcher"""
    from hloc import match_features

    path = w.out / "plugin_matches.h5"
    match_features.main(
        match_features.confs["dift-mnn"], w.pairs, w.features, matches=path, overwrite=True
    )
    return f"{len(w.pair_store(path))} pairs"


def exhaustive_pairs(w):
    """pairs_from_exhaustive.main"""
    from hloc import pairs_from_exhaustive

    pairs_from_exhaustive.main(w.out / "pairs_exhaustive.txt", features=w.features)
    return w.count_pairs("pairs_exhaustive.txt")


def reconstruct(w):
    """reconstruction.main"""
    return w.model(w.reconstruct("sfm"))


def reconstruct_unverified(w):
    """reconstruction.main, skip_geometric_verification"""
    return w.model(w.reconstruct("sfm_unverified", skip_geometric_verification=True))


def triangulate(w):
    """triangulation.main, matches verified by known poses"""
    return w.model(w.triangulate("triangulated"))


def triangulate_estimated(w):
    """triangulation.main, estimate_two_view_geometries"""
    return w.model(w.triangulate("triangulated_estimated", estimate_two_view_geometries=True))


def localise(w):
    """localize_sfm.main"""
    from hloc import localize_sfm

    lines = []
    for image in w.reference.images.values():
        camera = w.reference.cameras[image.camera_id]
        numbers = [camera.model.name, camera.width, camera.height, *camera.params]
        lines.append(f"{image.name} {' '.join(map(str, numbers))}\n")
    (w.out / "queries.txt").write_text("".join(lines))
    both = [line.split() for line in w.pairs.read_text().splitlines()]
    retrieval = "".join(f"{a} {b}\n{b} {a}\n" for a, b in both)
    (w.out / "retrieval.txt").write_text(retrieval)
    queries, results = w.out / "queries.txt", w.out / "poses.txt"
    files = (queries, w.out / "retrieval.txt", w.features, w.matches, results)
    localize_sfm.main(w.reference_folder, *files)
    return f"{len(results.read_text().splitlines())} poses"


def visualise(w):
    """visualization.visualize_sfm_2d"""
    import matplotlib

    matplotlib.use("Agg")
    from hloc import visualization
    from matplotlib import pyplot

    for colour in ("visibility", "track_length", "depth"):
        visualization.visualize_sfm_2d(w.reference_folder, w.images, color_by=colour, n=1)
    return f"{len(pyplot.get_fignums())} figures"


def visualise_localisation(w):
    """visualization.visualize_loc, after localize_sfm"""
    import matplotlib

    matplotlib.use("Agg")
    localise(w)
    from hloc import visualization
    from matplotlib import pyplot

    visualization.visualize_loc(w.out / "poses.txt", w.images, w.reference_folder, n=1)
    return f"{len(pyplot.get_fignums())} figures"


def covisibility_pairs(w):
    """pairs_from_covisibility.main"""
    from hloc import pairs_from_covisibility

    pairs_from_covisibility.main(w.reference_folder, w.out / "pairs_covisibility.txt", 2)
    return w.count_pairs("pairs_covisibility.txt")


def pose_pairs(w):
    """pairs_from_poses.main"""
    from hloc import pairs_from_poses

    pairs_from_poses.main(w.reference_folder, w.out / "pairs_poses.txt", 2, rotation_threshold=180)
    return w.count_pairs("pairs_poses.txt")


def retrieval_pairs(w):
    """pairs_from_retrieval.main on mean descriptors"""
    import h5py
    from hloc import pairs_from_retrieval

    with h5py.File(w.out / "global.h5", "w") as file:
        store = w.store(w.features)
        for name in store:
            mean = store[name].descriptors.mean(0)
            length = max(float((mean**2).sum()) ** 0.5, 1e-12)
            file.create_group(name)["global_descriptor"] = mean / length
    pairs_from_retrieval.main(w.out / "global.h5", w.out / "pairs_retrieval.txt", 2)
    return w.count_pairs("pairs_retrieval.txt")


ROUTES = {
    route.__name__: route
    for route in (
        extract, match, exhaustive_pairs, reconstruct, reconstruct_unverified, triangulate,
        triangulate_estimated, localise, visualise, visualise_localisation, covisibility_pairs,
        pose_pairs, retrieval_pairs,
    )
}  # fmt: skip


class Workspace:
    """The files all routes share, and what counts as a result."""

    def __init__(self, images: Path, out: Path) -> None:
        self.images, self.out = images, out
        self.features, self.matches = out / "features.h5", out / "matches.h5"
        self.pairs, self.reference_folder = out / "pairs.txt", out / "sparse"
        self.conf = json.loads((out / "conf.json").read_text())

    @property
    def reference(self):
        import pycolmap

        return pycolmap.Reconstruction(str(self.reference_folder))

    def store(self, path: Path):
        from dift_geo import FeatureStore

        return FeatureStore(path)

    def pair_store(self, path: Path):
        from dift_geo import MatchStore

        return MatchStore(path)

    def count_pairs(self, name: str) -> str:
        return f"{len((self.out / name).read_text().split()) // 2} pairs"

    def reconstruct(self, folder: str, **options):
        from hloc import reconstruction

        return reconstruction.main(
            self.out / folder, self.images, self.pairs, self.features, self.matches, **options
        )

    def triangulate(self, folder: str, **options):
        from hloc import triangulation

        arguments = (self.reference_folder, self.images, self.pairs, self.features, self.matches)
        return triangulation.main(self.out / folder, *arguments, **options)

    def model(self, model) -> str:
        if model is None or not model.num_points3D():
            raise RuntimeError("an empty model and no error")
        return f"{model.num_reg_images()} images, {model.num_points3D()} points"


def read_flags(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path, help="gets routes.json and everything the routes write")
    parser.add_argument(
        "--hloc", type=Path, required=True, help="folder in which `import hloc` finds it"
    )
    parser.add_argument("--descriptor", default="dift")
    parser.add_argument("--max-keypoints", type=int, default=4096)
    parser.add_argument("--ratio", type=float, help="Lowe's ratio test in our matching")
    parser.add_argument("--size", type=int, default=1600)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(ROUTES),
        default=list(ROUTES),
        metavar="ROUTE",
        help="some routes",
    )
    # one route, in a process of its own
    parser.add_argument("--route", choices=sorted(ROUTES), help=argparse.SUPPRESS)
    parser.add_argument("--fix", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    options = read_flags(argv)
    if options.route:
        from dift_geo.hloc_plugin import register

        register(fix_two_view_config=options.fix)
        print(KEEP_LINE + ROUTES[options.route](Workspace(options.images, options.out)))
        return
    prepare(options)
    table = {}
    for name in options.only:
        call, (state, detail) = ROUTES[name].__doc__, run(name, options)
        if state == "cannot":
            fixed, fixed_detail = run(name, options, "--fix")
            if fixed == "works":
                state, detail = "works with fix", fixed_detail
        table[name] = {"call": call, "state": state, "detail": detail}
        print(f"| {call} | {state} | {detail} |", flush=True)
    (options.out / "routes.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def prepare(options: argparse.Namespace) -> None:
    """Features, pairs, matches and a reference model, all by us."""
    from dift_geo.extractor import ExtractorOptions
    from dift_geo.images import list_images
    from dift_geo.matching.options import MatchOptions
    from dift_geo.sfm import reconstruct

    options.out.mkdir(parents=True, exist_ok=True)
    settings = {"descriptor": options.descriptor, "max_keypoints": options.max_keypoints}
    conf = {
        "output": "plugin",
        "model": {"name": "dift", **settings},
        "preprocessing": {"resize_max": options.size},
    }
    (options.out / "conf.json").write_text(json.dumps(conf))
    extractor = ExtractorOptions(**settings, size=options.size).build()
    match = MatchOptions(ratio=options.ratio)
    found = reconstruct(options.images, options.out, extractor, match=match).summary
    images = f"{found['registered']}/{len(list_images(options.images))} images"
    print(f"| dift-geo reconstruct, the reference | works | {images}, {found['points']} points |")


def run(name: str, options: argparse.Namespace, *flags: str) -> tuple[str, str]:
    """One route in a process of its own: its state, and a result or the last line it said."""
    here = Path(__file__).resolve()
    folders = (options.hloc.resolve(), here.parent.parent, os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    arguments = [options.images, options.out, "--hloc", options.hloc, "--route", name, *flags]
    command = [sys.executable, str(here), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    results = [line for line in done.stdout.splitlines() if line.startswith(KEEP_LINE)]
    if done.returncode == 0 and results:
        return "works", results[-1].removeprefix(KEEP_LINE)
    said = [line.strip() for line in done.stderr.splitlines() if "Error" in line]
    last = said[-1] if said else f"exit code {done.returncode}"
    return "cannot", last.replace("|", "/")[:120]


if __name__ == "__main__":
    main()
