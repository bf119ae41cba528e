"""The covariance of a model's cameras against one computed by hand from numeric derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from posed_models import model_of
from scipy.spatial.transform import Rotation
from synthetic_sfm import FOCAL, SIZE_WH, look_at

from dift_geo.colmap import uncertainty
from dift_geo.colmap.uncertainty import camera_uncertainties, centre_uncertainties

NOISE_PX = 0.5


def arc(views: int) -> dict[str, np.ndarray]:
    angles = np.linspace(-0.5, 0.5, views)
    centres = [7 * np.array([np.sin(a), -0.1 * i, -np.cos(a)]) for i, a in enumerate(angles)]
    return {f"{i}.png": look_at(centre, np.zeros(3)) for i, centre in enumerate(centres)}


def cloud(points: int) -> np.ndarray:
    return np.random.default_rng(0).uniform([-2, -1.5, -1], [2, 1.5, 1], (points, 3))


def noisy_model(poses, xyz):
    """The model, whose observations are off by so much that its mean error is `NOISE_PX`."""
    model = model_of(poses, xyz)
    for number, image in model.images.items():
        for index in range(len(xyz)):
            angle = number + 2.4 * index
            place = image.points2D[index].xy + NOISE_PX * np.array([np.cos(angle), np.sin(angle)])
            image.points2D[index].xy = place
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() == pytest.approx(NOISE_PX, rel=1e-6)
    return model


def residuals(values, poses, points):
    """All observations (pixels) as a function of the parameters that are free."""
    count = len(poses)
    focal, distortion = values[:2]
    cameras = values[2 : 2 + 6 * count].reshape(count, 6)
    xyz = values[2 + 6 * count :].reshape(points, 3)
    found = []
    for pose, (rx, ry, rz, *shift) in zip(poses, cameras):
        turned = Rotation.from_rotvec([rx, ry, rz]).as_matrix() @ pose[:, :3]
        seen = xyz @ turned.T + pose[:, 3] + shift
        xy = seen[:, :2] / seen[:, 2:]
        radial = 1 + distortion * (xy**2).sum(1, keepdims=True)
        found.append(focal * radial * xy + np.array(SIZE_WH) / 2)
    return np.concatenate(found).ravel()


def test_rotation_and_focal_length_are_those_of_the_normal_equations() -> None:
    poses, xyz = arc(4), cloud(25)
    start = np.concatenate([[FOCAL, 0.0], np.zeros(24), xyz.ravel()])
    step = 1e-6 * np.maximum(np.abs(start), 1)
    columns = []
    for i, size in enumerate(step):
        ahead, behind = start.copy(), start.copy()
        ahead[i] += size
        behind[i] -= size
        ordered = list(poses.values())
        change = residuals(ahead, ordered, 25) - residuals(behind, ordered, 25)
        columns.append(change / (2 * size))
    found = camera_uncertainties(noisy_model(poses, xyz))
    assert 2 <= len(found) < 4  # those that fix the frame have none
    fixed = sorted(poses.keys() - found.keys())
    # the same gauge: the first camera, and one number of the second's translation
    best = np.inf
    for axis in range(3):
        for second in range(1, 4):
            gone = [*range(2, 8), 2 + 6 * second + 3 + axis]
            kept = np.delete(np.column_stack(columns), gone, axis=1)
            covariance = np.linalg.inv(kept.T @ kept) * NOISE_PX**2
            index = np.delete(np.arange(len(start)), gone)
            expected = {
                name: np.degrees(
                    np.sqrt(
                        sum(
                            covariance[k, k]
                            for k in (np.searchsorted(index, 2 + 6 * i + axis) for axis in range(3))
                        )
                    )
                )
                for i, name in enumerate(sorted(poses))
                if name in found
            }
            off = max(abs(found[name].rotation_deg / expected[name] - 1) for name in found)
            if off < best:
                best, focal = off, np.sqrt(covariance[0, 0]) / FOCAL
    assert best < 0.02, fixed
    for one in found.values():
        assert one.focal == pytest.approx(focal, rel=0.02)


def test_more_points_determine_more() -> None:
    few = camera_uncertainties(noisy_model(arc(4), cloud(25)))
    many = camera_uncertainties(noisy_model(arc(4), cloud(200)))
    for name, one in few.items():
        assert many[name].rotation_deg < one.rotation_deg / 2
        assert many[name].centre_deg < one.centre_deg / 2


def test_models_that_are_too_large_say_nothing(monkeypatch) -> None:
    monkeypatch.setattr(uncertainty, "MOST_IMAGES", 3)
    assert camera_uncertainties(noisy_model(arc(4), cloud(25))) == {}


def test_models_that_nothing_determines_say_nothing() -> None:
    assert camera_uncertainties(model_of(arc(2))) == {}


def test_principal_points_are_those_of_the_normal_equations() -> None:
    """The whole covariance by hand, the principal point beside all else."""
    poses, xyz = arc(4), cloud(25)
    model = noisy_model(poses, xyz)

    def places(values):
        centred = residuals(values[2:], list(poses.values()), 25).reshape(-1, 2)
        return (centred + values[:2]).ravel()

    start = np.concatenate([[0.0, 0.0, FOCAL, 0.0], np.zeros(24), xyz.ravel()])
    columns = []
    for i, size in enumerate(1e-6 * np.maximum(np.abs(start), 1)):
        step = np.eye(1, len(start), i)[0] * size
        columns.append((places(start + step) - places(start - step)) / (2 * size))
    jacobian = np.column_stack(columns)
    # free of the choice of a frame: the inverse on what the photos determine
    covariance = np.linalg.pinv(jacobian.T @ jacobian, rcond=1e-12, hermitian=True) * NOISE_PX**2
    expected = np.sqrt(np.diag(covariance)[:2].max()) / FOCAL
    found = centre_uncertainties(model, {1})
    assert found[1] == pytest.approx(expected, rel=0.03)


def test_principal_points_that_nothing_fixes_say_nothing(monkeypatch) -> None:
    assert centre_uncertainties(model_of(arc(2)), {1}) == {}
    monkeypatch.setattr(uncertainty, "MOST_IMAGES", 3)
    assert centre_uncertainties(noisy_model(arc(4), cloud(25)), {1}) == {}
