"""How far models differ, whatever frame and scale each has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dift_geo.colmap.agreement import disagreements_deg, quantile_deg


def poses_of(seed: int, count: int = 4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    turns = Rotation.random(count, random_state=seed).as_matrix()
    return {f"{i}.jpg": np.column_stack([turns[i], random.normal(size=3)]) for i in range(count)}


def moved(poses: dict[str, np.ndarray], seed: int, scale: float) -> dict[str, np.ndarray]:
    """The same model in a world that is turned, shifted and scaled."""
    turn = Rotation.random(random_state=seed).as_matrix()
    shift = np.random.default_rng(seed).normal(size=3)
    return {
        name: np.column_stack([pose[:, :3] @ turn, scale * (pose[:, 3] + pose[:, :3] @ shift)])
        for name, pose in poses.items()
    }


@pytest.mark.parametrize("scale", [1e-3, 1.0, 70.0])
def test_frame_and_scale_do_not_count(scale: float) -> None:
    poses = poses_of(1)
    found = disagreements_deg(poses, [moved(poses, 5, scale)])
    assert len(found) == 6
    assert max(found.values()) < 1e-6


@pytest.mark.parametrize(
    ("turns", "middle"), [((3.0,), 3), ((3.0, 40.0), 3), ((1.0, 40.0, 3.0), 3), ((2.0,) * 4, 2)]
)
def test_the_middle_difference_of_several_runs_counts(turns, middle) -> None:
    poses = poses_of(2)
    others = []
    for degrees in turns:
        turned = dict(poses)
        turn = Rotation.from_rotvec([0, 0, np.deg2rad(degrees)]).as_matrix()
        # the camera turns where it stands
        turned["2.jpg"] = turn @ poses["2.jpg"]
        others.append(turned)
    found = disagreements_deg(poses, others)
    for pair, degrees in found.items():
        if "2.jpg" not in pair:
            assert degrees == pytest.approx(0, abs=1e-6)
        else:
            assert degrees == pytest.approx(middle, abs=1e-6)
    assert quantile_deg(found, 0.0) == pytest.approx(0, abs=1e-6)
    assert quantile_deg(found, 1.0) == pytest.approx(middle, abs=1e-6)


def test_photos_from_one_place_have_no_direction() -> None:
    poses = poses_of(3)
    near = dict(poses)
    near["4.jpg"] = poses["3.jpg"] + np.array([[0, 0, 0, 1e-5]] * 3)
    other = dict(near)
    other["4.jpg"] = poses["3.jpg"] - np.array([[0, 0, 0, 1e-5]] * 3)
    assert max(disagreements_deg(near, [other]).values()) < 0.01


def test_pairs_that_no_other_run_has_are_left_out() -> None:
    poses = poses_of(4)
    some = {name: poses[name] for name in ("0.jpg", "1.jpg")}
    assert list(disagreements_deg(poses, [some])) == [("0.jpg", "1.jpg")]
    assert disagreements_deg(poses, []) == {}
    assert disagreements_deg({}, [poses]) == {}
    assert quantile_deg({}, 0.9) is None
