"""Areas under recall curves, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.geometry.curves import auc


def test_auc_by_hand() -> None:
    assert auc([], [1, 2]) == [0.0, 0.0]
    assert auc([np.inf, np.inf], [5]) == [0.0]
    assert auc([0.0, 0.0], [5]) == [1.0]
    # recall rises straight from 0 to 1 at error 2, then stays: area 1 + 2 of 4
    assert auc([2.0], [4]) == pytest.approx([0.75])
    # to 1/2 at error 1, to 1 at error 3: 0.25 + (0.5 + 1) / 2 * 2 = 1.75, plus 1 up to 4
    assert auc([3.0, 1.0], [4]) == pytest.approx([2.75 / 4])
    # cut at 2: recall is held at 1/2 from error 1 on, as in SuperGlue's pose_auc
    assert auc([1.0, 3.0], [2]) == pytest.approx([(0.25 + 0.5) / 2])
    assert auc([1.0, np.inf], 2) == pytest.approx([(0.25 + 0.5) / 2])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_auc_is_a_share_that_grows_as_errors_shrink(errors: list[float]) -> None:
    area = auc(errors, [1, 5, 20])
    assert all(0 <= a <= 1 for a in area)
    assert all(b >= a - 1e-9 for a, b in zip(area, auc(np.array(errors) / 2, [1, 5, 20])))
