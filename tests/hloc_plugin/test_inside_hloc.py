"""The plugin inside hloc's own code: the copy in the deep-image-matching wheel, and upstream where
$DIFT_GEO_HLOC says.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import ROOT

from dift_geo import FeatureStore, MatchStore, match_mutual_nn, read_image
from dift_geo.extractor import ExtractorOptions, build_extractor
from dift_geo.images import write_image
from dift_geo.matching.options import MatchOptions
from dift_geo.pairs.choose import stored_pairs
from dift_geo.sfm import SfmOptions, reconstruct_from_files
from hloc_plugin.copies import KEYPOINTS, MAIN, NAMES, run_hloc


@pytest.fixture(scope="module")
def hloc_files(
    hloc_folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """What hloc's extract_features.main and match_features.main wrote with our extractor and
    matcher.
    """
    out = tmp_path_factory.mktemp("hloc")
    printed = run_hloc(hloc_folder, "-c", MAIN, str(photos), str(out), str(KEYPOINTS))
    features, matches = json.loads(printed.strip().splitlines()[-1])
    return Path(features), Path(matches)


def test_hlocs_extraction_gives_what_ours_gives(
    hloc_files: tuple[Path, Path], photos: Path
) -> None:
    ours = ExtractorOptions.for_models(max_keypoints=KEYPOINTS).build()
    with FeatureStore(hloc_files[0]) as store:
        assert list(store) == NAMES
        for name in NAMES[:1]:  # one will do
            found, expected = store[name], ours.extract(read_image(photos / name), name)
            assert found.keypoints.size_wh == expected.keypoints.size_wh
            np.testing.assert_allclose(found.keypoints.xy, expected.keypoints.xy, atol=1e-4)
            # half precision
            np.testing.assert_allclose(found.keypoints.scale, expected.keypoints.scale, rtol=1e-3)
            np.testing.assert_allclose(found.keypoints.angle, expected.keypoints.angle, atol=4e-3)
            assert (found.descriptors * expected.descriptors).sum(1).min() > 0.999
    with h5py.File(hloc_files[0]) as file:
        assert file["view_0.png/keypoints"].attrs["uncertainty"] == 1.0


def test_hlocs_matching_is_mutual_nearest_neighbours(hloc_files: tuple[Path, Path]) -> None:
    features, matches = hloc_files
    with FeatureStore(features) as found, MatchStore(matches) as matched:
        assert len(matched) == 3
        for pair in matched:
            expected = match_mutual_nn(found[pair[0]].descriptors, found[pair[1]].descriptors)
            np.testing.assert_array_equal(matched[pair].pairs, expected.pairs)
            np.testing.assert_allclose(matched[pair].scores, expected.scores, atol=1e-3)
            assert len(expected) > 10


def test_reconstruct_reads_hlocs_files(
    hloc_files: tuple[Path, Path], photos: Path, tmp_path: Path
) -> None:
    features, matches = hloc_files
    options = SfmOptions(camera_mode="single")
    theirs = reconstruct_from_files(
        photos, tmp_path / "matched by hloc", features, matches, options
    )
    ours = reconstruct_from_files(
        photos, tmp_path / "matched by us", features, options=options, match=MatchOptions()
    )
    assert theirs.summary["registered"] == ours.summary["registered"] == 3
    assert theirs.summary["matches_mean"] == ours.summary["matches_mean"]


RESIZED = """
import sys
from pathlib import Path
from dift_geo.hloc_plugin import register

register()
from hloc import extract_features

model = {"name": "dift", "descriptor": "rootsift", "max_keypoints": 200}
conf = {"output": "resized", "model": model, "preprocessing": {"resize_max": 320}}
extract_features.main(conf, Path(sys.argv[1]), Path(sys.argv[2]), image_list=["view_0.png"])
"""


def test_keypoints_of_resized_images_come_in_the_original_frame(
    hloc_folder: Path, photos: Path, tmp_path: Path
) -> None:
    run_hloc(hloc_folder, "-c", RESIZED, str(photos), str(tmp_path))
    with FeatureStore(tmp_path / "resized.h5") as store:
        found = store["view_0.png"].keypoints
    ours = build_extractor(descriptor="rootsift", max_keypoints=200, size=320)
    expected = ours.extract(read_image(photos / "view_0.png"), "view_0.png").keypoints
    assert found.size_wh == (480, 360)
    distance = np.linalg.norm(found.xy[:, None] - expected.xy[None], axis=2).min(1)
    assert np.median(distance) < 0.05  # not all: hloc resizes in floating point, we in bytes


def test_command_lines_are_hlocs_with_our_configurations(
    hloc_folder: Path, hloc_files: tuple[Path, Path], photos: Path, tmp_path: Path
) -> None:
    plugin = ("-m", "dift_geo.hloc_plugin")
    small = read_image(photos / "view_0.png")[:96, :128]
    write_image(tmp_path / "small.png", small)
    arguments = (
        "--image_dir",
        str(tmp_path),
        "--export_dir",
        str(tmp_path),
        "--conf",
        "dift-tiny-sift",
    )
    run_hloc(hloc_folder, *plugin, "extract_features", *arguments)
    with FeatureStore(tmp_path / "feats-dift+rootsift-tiny-sift-n8192-r1600.h5") as store:
        assert list(store) == ["small.png"]
        assert len(store["small.png"]) == len(
            ExtractorOptions.for_models(descriptor="rootsift").build().extract(small, "")
        )

    features, pairs = hloc_files[0], hloc_files[0].with_name("pairs.txt")
    arguments = (
        "--export_dir",
        str(features.parent),
        "--features",
        features.stem,
        "--conf",
        "dift-mnn-ratio.9",
    )
    run_hloc(hloc_folder, *plugin, "match_features", "--pairs", str(pairs), *arguments)
    matches = features.with_name(f"{features.stem}_matches-dift-mnn-ratio.9_pairs.h5")
    assert len(stored_pairs(NAMES, matches)) == 3


HALF = """
import sys
from pathlib import Path
from dift_geo.hloc_plugin import register

images, out = Path(sys.argv[1]), Path(sys.argv[2])
(out / "models").mkdir()
(out / "models" / "single.py").write_text('''
import torch
from .dift import DiftExtractor as _Dift
from ..utils.base_model import BaseModel
class Single(BaseModel):  # what any other extractor does: keypoints in single precision
    def _init(self, conf):
        self.inner = _Dift({**conf, "name": "dift"})
    def _forward(self, data):
        found = self.inner(data)
        return {**found, "keypoints": found["keypoints"].float()}
''')
register()
import hloc.extractors
from hloc import extract_features
hloc.extractors.__path__.append(str(out / "models"))
for name in ("dift", "single"):
    model = {"name": name, "detector": "sift", "descriptor": "rootsift"}
    conf = {"output": name, "model": model, "preprocessing": {}}
    extract_features.main(conf, images, out, as_half=True)
"""


def test_half_precision_costs_hlocs_keypoints_up_to_a_pixel_and_ours_nothing(
    hloc_folder: Path, tmp_path: Path, texture
) -> None:
    image = texture((3200, 64), 3)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "wide.png"), image[..., ::-1])
    run_hloc(hloc_folder, "-c", HALF, str(tmp_path / "images"), str(tmp_path))
    expected = build_extractor(descriptor="rootsift", size=None).extract(image, "wide.png")
    with FeatureStore(tmp_path / "own.h5", {}) as own:
        own["wide.png"] = expected
        own.merge()

    def errors(file: str) -> np.ndarray:
        with h5py.File(tmp_path / file) as stored:
            return np.abs(
                stored["wide.png/keypoints"][()].astype(np.float64) - expected.keypoints.xy
            )[:, 0]

    x = expected.keypoints.xy[:, 0]
    half = errors("single.h5")
    assert 0.4 < half[(x > 1024) & (x < 2048)].max() <= 0.5
    assert 0.9 < half[x > 2048].max() <= 1.0
    assert errors("dift.h5").max() < 1e-3
    assert errors("own.h5").max() == 0


SMALL = """
import os, sys
os.chdir(sys.argv[1])
import dift_geo.hloc_plugin
dift_geo.hloc_plugin.register()
from hloc import extract_features
for conf in extract_features.confs.values():
    conf["model"]["max_keypoints"] = int(sys.argv[2])
dift_geo.hloc_plugin.register = lambda **_: None  # keeps the smaller number
"""


def test_the_page_on_hloc_runs_in_hloc(hloc_folder: Path, photos: Path, tmp_path: Path) -> None:
    page = Path(ROOT, "docs", "hloc.md").read_text(encoding="utf-8")
    found = re.findall(r"^```py\n(.*?)^```", page, re.M | re.S)
    blocks = [block for block in found if "hloc_plugin" in block]
    assert blocks
    (tmp_path / "photos").symlink_to(photos)
    for block in blocks:
        run_hloc(hloc_folder, "-c", SMALL + block, str(tmp_path), str(KEYPOINTS))
    assert list(tmp_path.glob("outputs/*.h5"))


VERIFIED = """
import json, sys
from pathlib import Path
import pycolmap
from dift_geo.hloc_plugin import register

images, features, matches, out, fix = *map(Path, sys.argv[1:5]), sys.argv[5] == "fix"
register(fix_two_view_config=fix)
from hloc import pairs_from_exhaustive, reconstruction, triangulation

pairs = out / "pairs.txt"
pairs_from_exhaustive.main(pairs, features=features)
common = dict(image_dir=images, pairs=pairs, features=features, matches=matches)
single = pycolmap.CameraMode.SINGLE
model = reconstruction.main(out / "sfm", camera_mode=single, **common)
again = triangulation.main(out / "triangulated", reference_model=out / "sfm", **common)
common |= dict(camera_mode=single, skip_geometric_verification=True)
skipped = reconstruction.main(out / "skipped", **common)
points = [0 if m is None else m.num_points3D() for m in (model, again, skipped)]
print(json.dumps(points))
"""


@pytest.mark.skipif(
    "DIFT_GEO_HLOC" not in os.environ,
    reason="the wheel's hloc cannot run pycolmap 4; set DIFT_GEO_HLOC",
)
@pytest.mark.parametrize("fix", ["fix", "as it is"])
def test_the_fix_brings_back_unverified_and_pose_verified_matches(
    photos: Path, tmp_path: Path, fix: str
) -> None:
    folder = Path(os.environ["DIFT_GEO_HLOC"])
    printed = run_hloc(folder, "-c", MAIN, str(photos), str(tmp_path), str(KEYPOINTS))
    files = json.loads(printed.strip().splitlines()[-1])
    printed = run_hloc(folder, "-c", VERIFIED, str(photos), *files, str(tmp_path), fix)
    verified, triangulated, unverified = json.loads(printed.strip().splitlines()[-1])
    assert verified > 20
    if fix == "fix":
        assert triangulated > 20
        assert unverified > 20
    else:
        assert triangulated == unverified == 0
