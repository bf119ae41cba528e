"""What most of several verifications say, against counting by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from posed_models import database_of
from synthetic_sfm import make_scene

from dift_geo.colmap.draws import agreed, forget_drawn, read_drawn, write_agreed

KINDS = pycolmap.TwoViewGeometryConfiguration


def geometry(rows, kind=KINDS.UNCALIBRATED):
    found = np.array(rows, np.uint32).reshape(-1, 2)
    return pycolmap.TwoViewGeometry(config=kind, inlier_matches=found)


def rows_of(found):
    return [] if found is None else [tuple(row) for row in found.inlier_matches.tolist()]


def test_matches_of_most_draws_are_kept() -> None:
    random = np.random.default_rng(0)
    for asked in (1, 2, 3, 4, 5):
        lists = [
            [(i, 2 * i) for i in range(30) if random.random() < 0.6] or [(0, 0)]
            for _ in range(asked)
        ]
        expected = [
            row
            for row in sorted(set().union(*lists))
            if sum(row in one for one in lists) > asked / 2
        ]
        assert rows_of(agreed([geometry(one) for one in lists])) == expected


def test_a_pair_that_most_draws_refuse_is_none() -> None:
    held = geometry([(1, 1), (2, 2)])
    assert agreed([None, None, held]) is None
    assert agreed([geometry([]), None, held]) is None
    assert agreed([None]) is None
    assert rows_of(agreed([None, held, geometry([(2, 2), (3, 3)])])) == [(2, 2)]


def test_the_kind_is_that_of_most_draws() -> None:
    planar = geometry([(i, i) for i in range(9)], KINDS.PLANAR)
    ordinary = [geometry([(i, i) for i in range(count)]) for count in (5, 7)]
    found = agreed([planar, *ordinary])
    assert found.config == KINDS.UNCALIBRATED
    assert rows_of(found) == [(i, i) for i in range(7)]


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    return database_of(
        make_scene(tmp_path_factory.mktemp("scene")), tmp_path_factory.mktemp("d") / "d.db"
    )


def test_what_is_agreed_takes_the_place_of_the_last_draw(verified, tmp_path: Path) -> None:
    path = Path(shutil.copy(verified, tmp_path / "d.db"))
    before = read_drawn(path)
    first, second, *others = before
    part = geometry(before[first].inlier_matches[:40], before[first].config)
    drawn = [before, {**before, first: part}, {n: before[n] for n in others} | {first: part}]
    write_agreed(path, drawn, 15, 0.0)
    after = read_drawn(path)
    assert rows_of(after[first]) == rows_of(part)
    for number in (second, *others):
        assert rows_of(after[number]) == rows_of(before[number])
    write_agreed(path, [before, {}, {}], 15, 0.0)
    assert read_drawn(path) == {}


@pytest.mark.parametrize(
    ("least", "share", "left"),
    [(40, 0.0, True), (41, 0.0, False), (15, 0.3, False), (15, 0.2, True)],
)
def test_too_few_that_agree_are_none(verified, tmp_path: Path, least, share, left) -> None:
    """A pair has 150 matches."""
    path = Path(shutil.copy(verified, tmp_path / "d.db"))
    number, found = next(iter(read_drawn(path).items()))
    part = {number: geometry(found.inlier_matches[:40], found.config)}
    write_agreed(path, [part, part, {}], least, share)
    assert (number in read_drawn(path)) == left


def test_forgotten_pairs_are_unverified(verified, tmp_path: Path) -> None:
    path = Path(shutil.copy(verified, tmp_path / "d.db"))
    assert read_drawn(path)
    forget_drawn(path)
    assert read_drawn(path) == {}
