"""Which pairs of photos count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dift_geo.benchmark.relative_pose.data import (
    Choice,
    PosedPair,
    PosedPairs,
    View,
    choose,
    scenes_of,
)
from dift_geo.errors import InputError


def pair(scene: str, first: int, second: int, turn_deg: float = 0.0, roll_deg: float = 0.0):
    R = Rotation.from_euler("zy", [roll_deg, turn_deg], degrees=True).as_matrix()
    views = (View(f"{scene}/{i}.jpg", np.eye(3)) for i in (first, second))
    return PosedPair(scene, *views, np.column_stack([R, [3.0, 4, 0]]))


@pytest.fixture
def found(tmp_path):
    """Ten pairs of `abbey`, three of `bridge`, all photos there."""
    pairs = [pair("abbey", i, i + 1, turn_deg=10.0 * i) for i in range(10)]
    pairs += [pair("bridge", i, i + 1) for i in range(3)]
    for one in pairs:
        for name in one.names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    return PosedPairs(tmp_path, "made up", tuple(pairs))


def test_all_pairs_count_where_nothing_is_asked(found) -> None:
    chosen = choose(found, Choice())
    assert chosen.pairs == found.pairs
    assert chosen.scenes == ["abbey", "bridge"]
    assert len(chosen.images) == 11 + 4
    assert chosen.problems == ()


def test_the_angle_is_between_directions_and_forgets_the_roll() -> None:
    assert pair("a", 0, 1, turn_deg=25).angle_deg == pytest.approx(25)
    assert pair("a", 0, 1, roll_deg=90).angle_deg == pytest.approx(0)
    assert pair("a", 0, 1).baseline == 5


def test_only_near_pairs(found) -> None:
    chosen = choose(found, Choice(max_angle_deg=35))
    assert [p.angle_deg for p in chosen.pairs[:4]] == pytest.approx([0, 10, 20, 30])
    assert len(chosen.pairs) == 4 + 3
    far = PosedPairs(found.folder, "", found.pairs[5:10])
    with pytest.raises(InputError, match="as near as --max-angle asks"):
        choose(far, Choice(max_angle_deg=1))


def test_a_draw_is_of_each_scene_by_itself_and_seeded(found) -> None:
    chosen = choose(found, Choice(pairs_per_scene=4))
    assert [p.scene for p in chosen.pairs] == ["abbey"] * 4 + ["bridge"] * 3
    again = choose(found, Choice(pairs_per_scene=4, scenes=["abbey"]))
    assert again.pairs == chosen.pairs[:4]
    others = [choose(found, Choice(pairs_per_scene=4, seed=seed)).pairs for seed in range(1, 5)]
    assert any(other != chosen.pairs for other in others)
    assert Choice(pairs_per_scene=4, seed=7).recipe()["pairs_seed"] == 7
    assert Choice(seed=7).recipe() == Choice().recipe()  # nothing is drawn


def test_scenes_by_pattern(found) -> None:
    assert choose(found, Choice(scenes=["br*"])).scenes == ["bridge"]
    with pytest.raises(InputError, match=r"no scene 'castle' in .*; it holds abbey, bridge"):
        choose(found, Choice(scenes=["castle"]))


def test_pairs_without_their_photos_are_left_out_and_said(found) -> None:
    (found.folder / "abbey/5.jpg").unlink()
    chosen = choose(found, Choice())
    assert len(chosen.pairs) == 8 + 3
    assert chosen.problems == (
        "abbey: 1 of 11 photos are not there (abbey/5.jpg is the first), "
        "so 2 of 10 pairs are left out",
    )
    with pytest.raises(InputError, match=r"no usable pair in .*photos are not there"):
        choose(PosedPairs(found.folder / "abbey", "", found.pairs), Choice())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"max_angle_deg": 0.0}, "max angle is 0"),
        ({"max_angle_deg": float("nan")}, "max angle is nan"),
        ({"pairs_per_scene": 0}, "pairs per scene is 0"),
    ],
)
def test_refuses_what_can_choose_nothing(words, message) -> None:
    with pytest.raises(InputError, match=message):
        Choice(**words)


@pytest.mark.parametrize(
    ("names", "scenes"),
    [
        (["a/images/1.jpg", "b/images/1.jpg"], ["a", "b"]),
        (["Undistorted_SfM/0015/images/1.jpg", "Undistorted_SfM/0022/images/1.jpg"], None),
        (["0015/images/1.jpg", "0015/images/2.jpg"], ["0015", "0015"]),
        (["images/1.jpg", "images/2.jpg"], ["scene", "scene"]),
        (["1.jpg", "2.jpg"], ["scene", "scene"]),
        (["x/1.jpg", "2.jpg"], ["x", "scene"]),
    ],
)
def test_the_scene_is_the_first_folder_that_not_all_share(names, scenes) -> None:
    assert list(scenes_of(names).values()) == (scenes or ["0015", "0022"])
