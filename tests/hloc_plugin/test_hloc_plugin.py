"""The plugin inside hloc's own code: the copy in the deep-image-matching wheel, and upstream where
$DIFT_GEO_HLOC says.

hloc runs in processes of its own, as its users run it. What a stub of hloc's contract can show runs
here, without it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from dift_geo import FeatureStore, Matches, MatchStore, hloc_plugin, match_mutual_nn, read_image
from dift_geo.extractor import build_extractor
from dift_geo.hloc_plugin import register, repair_two_view_config
from dift_geo.images import write_image
from dift_geo.pairs.choose import stored_pairs
from dift_geo.sfm import reconstruct_from_files

ROOT = Path(__file__).resolve().parents[2]
KEYPOINTS = 100
NAMES = ["view_0.png", "view_1.png", "view_2.png"]


def _hloc_folders() -> dict[str, Path | None]:
    """Where an `import hloc` would find it: in the wheel's folder of borrowed code, and in a clone
    of upstream.
    """
    wheel = importlib.util.find_spec("deep_image_matching")
    folders: dict[str, Path | None] = {
        "wheel": Path(wheel.origin).parent / "thirdparty" if wheel and wheel.origin else None
    }
    if "DIFT_GEO_HLOC" in os.environ:
        folders["upstream"] = Path(os.environ["DIFT_GEO_HLOC"])
    return folders


@pytest.fixture(scope="module", params=sorted(_hloc_folders()))
def hloc_folder(request: pytest.FixtureRequest) -> Path:
    folder = _hloc_folders()[request.param]
    if folder is None:
        pytest.skip(
            "no deep-image-matching 1.2.4, whose wheel carries hloc; `make setup` installs it without its dependencies"
        )
    return folder


def run_hloc(folder: Path, *arguments: str) -> str:
    """Run Python with hloc on the path; its output."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# the real hloc

MAIN = """
import json, sys
from pathlib import Path
from dift_geo.hloc_plugin import register

images, out, keypoints = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
register()
from hloc import extract_features, match_features, pairs_from_exhaustive

conf = extract_features.confs["dift-tiny-sift"]
conf["model"]["max_keypoints"] = keypoints
features = extract_features.main(conf, images, out)
pairs = out / "pairs.txt"
pairs_from_exhaustive.main(pairs, features=features)
matches = match_features.main(match_features.confs["dift-mnn"], pairs, conf["output"], out)
print(json.dumps([str(features), str(matches)]))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, pipeline_module) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pipeline_module("rendered_scene").write_scene(folder, views=3, size_wh=(480, 360))
    return folder


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
    ours = build_extractor(max_keypoints=KEYPOINTS, size=None)
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
    theirs = reconstruct_from_files(
        photos, tmp_path / "matched by hloc", features, matches, camera_mode="single"
    )
    ours = reconstruct_from_files(
        photos, tmp_path / "matched by us", features, camera_mode="single"
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
    with FeatureStore(tmp_path / "feats-dift-tiny-sift-n8192-r1600.h5") as store:
        assert list(store) == ["small.png"]
        assert len(store["small.png"]) == len(
            build_extractor(descriptor="rootsift").extract(small, "")
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
    extract_features.main({"output": name, "model": model, "preprocessing": {}}, images, out, as_half=True)
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


def test_the_readme_runs_in_hloc(hloc_folder: Path, photos: Path, tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    blocks = [
        block
        for block in re.findall(r"^```py\n(.*?)^```", text, re.M | re.S)
        if "hloc_plugin" in block
    ]
    if not blocks:
        pytest.skip("the README has no section on hloc yet")
    (tmp_path / "photos").symlink_to(photos)
    small = (
        "from dift_geo.hloc_plugin import register\nregister()\nfrom hloc import extract_features\n"
    )
    small += f"for conf in extract_features.confs.values(): conf['model']['max_keypoints'] = {KEYPOINTS}\n"
    # keeps the smaller number
    small += "import dift_geo.hloc_plugin\ndift_geo.hloc_plugin.register = lambda **_: None\n"
    for block in blocks:
        run_hloc(hloc_folder, "-c", f"import os\nos.chdir({str(tmp_path)!r})\n{small}{block}")
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
skipped = reconstruction.main(out / "skipped", camera_mode=single, skip_geometric_verification=True, **common)
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


def test_the_script_of_hlocs_users_runs_with_our_features(
    hloc_folder: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "small").mkdir()
    for name in NAMES[:2]:  # hloc's default of 4096 keypoints is for larger ones
        write_image(tmp_path / "small" / name, read_image(photos / name)[::3, ::3])
    arguments = [str(tmp_path / "small"), str(tmp_path), "--hloc", str(hloc_folder)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    }
    script = [sys.executable, str(ROOT / "pipelines" / "hloc_sfm.py"), *arguments]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=200)
    with FeatureStore(tmp_path / "feats-dift-tiny-sift-n8192-r1600.h5") as store:
        assert list(store) == NAMES[:2]
    assert len(stored_pairs(NAMES[:2], next(tmp_path.glob("*_matches-dift-mnn_pairs.h5")))) == 1
    # the wheel's hloc is older than pycolmap 4 and reconstructs nothing; two small photos need not
    # give a model either
    said = done.stdout + done.stderr
    assert (
        "images registered" in said
        or "hloc found no model" in said
        or "hloc/triangulation.py" in said
    ), said


def test_the_table_of_routes(hloc_folder: Path, photos: Path, tmp_path: Path) -> None:
    script = [
        str(ROOT / "pipelines" / "hloc_routes.py"),
        str(photos),
        str(tmp_path),
        "--hloc",
        str(hloc_folder),
    ]
    flags = ["--descriptor", "rootsift", "--max-keypoints", "300", "--only", "triangulate"]
    rows = run_hloc(hloc_folder, *script, *flags).splitlines()
    upstream = "DIFT_GEO_HLOC" in os.environ and hloc_folder == Path(os.environ["DIFT_GEO_HLOC"])
    assert ("| works with fix |" if upstream else "| cannot |") in rows[-1]
    assert list(json.loads((tmp_path / "routes.json").read_text())) == ["triangulate"]


# hloc's contract, with a stub in hloc's place

STUB = {
    "utils/base_model.py": """
import torch
class BaseModel(torch.nn.Module):
    def __init__(self, conf):
        super().__init__()
        self.conf = conf
        self._init(conf)
    def forward(self, data):
        return self._forward(data)
""",
    "extract_features.py": 'confs = {"sift": {}}',
    "match_features.py": 'from . import logger\nconfs = {"NN-mutual": {}}\nprint_something = 1',
    "triangulation.py": "import pycolmap\ndef write(**fields):\n    return pycolmap.TwoViewGeometry(**fields)",
}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package with the parts of hloc that the plugin touches, and its import name."""
    root = tmp_path / "stub_of_hloc"
    for folder in ("", "utils", "extractors", "matchers"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").touch()
    for file, text in STUB.items():
        (root / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "stub_of_hloc"
    for name in [name for name in sys.modules if name.split(".")[0] == "stub_of_hloc"]:
        del sys.modules[name]


def load(stub: str, kind: str, conf: dict) -> torch.nn.Module:
    register(stub)
    module = importlib.import_module(f"{stub}.{kind}.dift")
    (model,) = (
        m for m in vars(module).values() if isinstance(m, type) and m.__module__ == module.__name__
    )
    return model({"name": "dift", **conf})


def test_importing_and_registering(stub: str) -> None:
    assert "hloc" not in sys.modules
    register(stub)
    register(stub)
    extract = importlib.import_module(f"{stub}.extract_features")
    assert {"sift", "dift-tiny-sift", "dift-sd2.1-superpoint", "dift-adm-sift"} <= set(
        extract.confs
    )
    assert {"NN-mutual", "dift-mnn"} <= set(importlib.import_module(f"{stub}.match_features").confs)
    assert len(importlib.import_module(f"{stub}.extractors").__path__) == 2


def test_no_hloc_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModuleNotFoundError, match="no no_such_hloc to plug into; install hloc"):
        register("no_such_hloc")
    from dift_geo.hloc_plugin.__main__ import main

    assert main(["--package", "no_such_hloc", "extract_features"]) == 1
    assert "install hloc" in capsys.readouterr().err


def test_a_module_without_command_line_is_named(stub: str) -> None:
    from dift_geo.hloc_plugin.__main__ import run_command_line

    register(stub)
    with pytest.raises(ValueError, match=r"triangulation has no command line"):
        run_command_line(importlib.import_module(f"{stub}.triangulation"), [])


def test_two_view_fix_declares_inliers_calibrated_and_leaves_pycolmap_alone(stub: str) -> None:
    import pycolmap

    before = pycolmap.TwoViewGeometry
    rows = np.array([[0, 0], [1, 1]], np.uint32)
    register(stub)
    module = importlib.import_module(f"{stub}.triangulation")
    configuration = pycolmap.TwoViewGeometryConfiguration
    assert module.write(inlier_matches=rows).config == configuration.UNDEFINED
    repair_two_view_config(stub)
    repair_two_view_config(stub)
    assert module.write(inlier_matches=rows).config == configuration.CALIBRATED
    assert (
        module.write(inlier_matches=rows, config=configuration.PLANAR).config
        == configuration.PLANAR
    )
    assert module.write().config == configuration.UNDEFINED
    assert module.pycolmap.Database is pycolmap.Database
    assert pycolmap.TwoViewGeometry is before


@pytest.mark.parametrize("ratio", [None, 0.9])
@pytest.mark.parametrize(("n0", "n1"), [(0, 3), (3, 0), (1, 1), (40, 30)])
def test_matcher_contract(stub: str, n0: int, n1: int, ratio: float | None) -> None:
    random = np.random.default_rng(0)
    rows = [
        r / np.linalg.norm(r, axis=1, keepdims=True)
        for r in (random.normal(size=(n, 8)) for n in (n0, n1))
    ]
    matcher = load(stub, "matchers", {"ratio": ratio})
    found = matcher(
        {f"descriptors{i}": torch.from_numpy(r.T[None]).float() for i, r in enumerate(rows)}
    )
    assert found["matches0"].shape == found["matching_scores0"].shape == (1, n0)
    expected = match_mutual_nn(*rows, ratio=ratio)
    matched = torch.nonzero(found["matches0"][0] >= 0)[:, 0]
    got = Matches(
        torch.stack([matched, found["matches0"][0, matched]], 1).numpy(),
        found["matching_scores0"][0, matched].numpy(),
    )
    np.testing.assert_array_equal(got.pairs, expected.pairs)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5)


def test_matcher_refuses_what_hlocs_files_cannot_hold(stub: str) -> None:
    matcher = load(stub, "matchers", {})
    many = torch.zeros(1, 2, 32769)
    with pytest.raises(ValueError, match=r"32769 keypoints .* up to 32767 \(int16\)"):
        matcher({"descriptors0": many[..., :1], "descriptors1": many})
    with pytest.raises(ValueError, match=r"unknown matcher settings \['ratoi'\]"):
        load(stub, "matchers", {"ratoi": 0.8})


@pytest.mark.parametrize("channels", [1, 3])
def test_extractor_contract(stub: str, channels: int, texture) -> None:
    extractor = load(stub, "extractors", {"descriptor": "rootsift", "max_keypoints": 50})
    image = torch.from_numpy(texture((90, 70), 1)).permute(2, 0, 1)[None, :channels].float() / 255
    found = extractor({"image": image})
    n = found["keypoints"].shape[1]
    assert 0 < n <= 50
    shapes = {
        "keypoints": (1, n, 2),
        "scores": (1, n),
        "descriptors": (1, 128, n),
        "scales": (1, n),
        "oris": (1, n),
    }
    assert {key: tuple(value.shape) for key, value in found.items()} == shapes
    assert extractor.detection_noise == 1.0
    flat = extractor({"image": torch.full((1, channels, 40, 50), 0.5)})
    assert tuple(flat["descriptors"].shape) == (1, 128, 0)
    with pytest.raises(
        ValueError, match=r"image has shape \(2, 3, 40, 50\), expected \(1, 1 or 3, H, W\)"
    ):
        extractor({"image": torch.zeros(2, 3, 40, 50)})


def test_a_wrong_setting_is_an_error(stub: str) -> None:
    with pytest.raises(TypeError, match="max_keypionts"):
        load(stub, "extractors", {"max_keypionts": 50})


def test_plugin_files_are_part_of_the_package() -> None:
    for kind in ("extractors", "matchers"):
        assert (Path(hloc_plugin.__file__).parent / kind / "dift.py").is_file()
        assert (Path(hloc_plugin.__file__).parent / kind / "__init__.py").is_file()
