"""Joints as heat maps: spots counted by hand, places that come back, joints that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dift_geo.backends.tasks import JOINTS
from dift_geo.mapper import Mapper
from dift_geo.testing import FakeBackend
from dift_geo.video.joints import carried_joints, heat_maps, joints_of


def test_a_spot_counted_by_hand():
    # 320 x 240 pixels on 40 x 40 cells: (162, 121) is cell (20.25, 20.17), whose spot is 18 to 21
    maps = heat_maps(np.array([[162.0, 121.0], [-99.0, 5.0]]), (320, 240), (40, 40))
    assert maps.shape == (3, 40, 40)
    rows, columns = np.nonzero(maps[1].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 21, 18, 21)
    values = [maps[1, 20, 20], maps[1, 20, 19], maps[1, 21, 21], maps[1, 18, 18]]
    assert np.allclose(values, np.exp([0, -2, -4, -16]))
    assert not maps[2].any()  # outside of the frame
    assert maps[0].sum() == 40 * 40 - 16
    # cut off towards zero: cell 1 is drawn at 2, as the released code does
    edge = heat_maps(np.array([[8.0, 120.0]]), (320, 240), (40, 40))[1]
    assert edge.argmax() == 20 * 40 + 2


def test_places_are_means_of_three_cells():
    maps = torch.zeros((3, 5, 8))
    maps[1, 2, 3], maps[1, 2, 4], maps[1, 4, 3], maps[1, 0, 0] = 0.5, 0.3, 0.2, 0.1
    found = joints_of(maps, (80, 100))
    assert np.allclose(found[0], [10 * 3.3, 20 * 2.4])
    assert np.isnan(found[1]).all()


def test_joints_follow_what_moves():
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (40, 40, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    frames = [(str(n), np.roll(first, -8 * n, 1)) for n in range(4)]
    xy = np.array([[100.0, 80.0], [120.0, 44.0], [64.0, 120.0]])
    backend = FakeBackend(channels=128)
    mapper = Mapper(((backend, backend.task_config("video")),))
    found = [*carried_joints(frames, xy, mapper, replace(JOINTS, short_side=160))]
    for number, own in enumerate(found):
        assert np.abs(own - xy + (8 * number, 0)).max() < 4, number  # a cell
    still = [*carried_joints(frames, xy, Mapper(()))]
    assert all(np.array_equal(own, xy) for own in still)
