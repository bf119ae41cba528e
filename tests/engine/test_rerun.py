"""A run that finds nothing to do says so at once: contents are checked at a glance."""

from __future__ import annotations

import time
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
from counting import CountingExtractor

from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.matching.options import MatchOptions
from dift_geo.recipe import fingerprint
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.store.source import Source
from dift_geo.types import Features, Keypoints, Matches

NAMES = [f"{i % 7}/{i:04d}.jpg" for i in range(1000)]
PAIRS = [*islice(combinations(NAMES, 2), 1000)]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A thousand photos, or what stands for them, and the stores of a run over them."""
    keypoints = Keypoints(np.ones((3, 2)), np.ones(3), (9, 9))
    features = Features(keypoints, np.eye(3))
    with FeatureStore(tmp_path / "f.h5", CountingExtractor().recipe()) as store:
        for name in NAMES:
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).write_text(name * 99)
            store.put(name, features, Source.of(tmp_path / "photos" / name))
        store.merge()
        of_all = {name: store.fingerprint(name) for name in NAMES}
    recipe = {
        "matcher": MatchOptions().recipe(),
        "features": fingerprint(CountingExtractor().recipe()),
    }
    with MatchStore(tmp_path / "m.h5", recipe) as store:
        for a, b in PAIRS:
            store.put((a, b), Matches.none(), 3, (of_all[a], of_all[b]))
        store.merge()
    return tmp_path


def test_a_thousand_photos_are_checked_within_two_seconds(finished: Path) -> None:
    before = [(finished / name).read_bytes() for name in ("f.h5", "m.h5")]
    extractor = CountingExtractor()
    start = time.monotonic()
    extract_images(finished / "photos", NAMES, extractor, finished / "f.h5")
    match_pairs(finished / "f.h5", PAIRS, finished / "m.h5")
    assert time.monotonic() - start < 2
    assert extractor.asked == []
    assert [(finished / name).read_bytes() for name in ("f.h5", "m.h5")] == before
