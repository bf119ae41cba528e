"""The table of protocols, and what of it a user can change."""

from __future__ import annotations

from pathlib import Path

import pytest

from dift_geo.benchmark.homography.data import Benchmark
from dift_geo.benchmark.homography.protocols import PROTOCOLS, protocol_named
from dift_geo.benchmark.homography.task import Homographies


def test_estimator_of_a_protocol_can_be_changed():
    dift = protocol_named("dift").with_estimator("ransac")
    assert (dift.ransac.estimator, dift.ransac.max_error_px, dift.ransac.max_iterations) == (
        "ransac",
        3.0,
        2000,
    )
    assert protocol_named("gluefactory").with_estimator("ransac").ransac.max_iterations == 3000
    assert protocol_named("mma").with_estimator(None, 1.5).ransac.max_error_px == 1.5
    with pytest.raises(ValueError, match="expected a positive number"):
        protocol_named("mma").with_estimator(None, 0)
    with pytest.raises(ValueError, match="expected one of kornia, magsac"):
        protocol_named("mma").with_estimator("ransack")
    with pytest.raises(ValueError, match="expected one of dift, gluefactory, loftr, mma"):
        protocol_named("hpatches")


def test_every_protocol_is_found_by_its_name_and_says_where_it_is_from():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert len(protocol.source) > 100
        assert not protocol.source.endswith(".")
        assert set(protocol.headline) <= set(Homographies(Benchmark(Path(), ()), protocol).measures)
