"""Turns of a set, against those that pictures were made with."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from standing import turned

from dift_geo.turns import survey
from dift_geo.turns.probe import Probe, Seen, probe_photo
from dift_geo.turns.survey import survey_turns
from dift_geo.types import Turn

NOTHING = Probe(np.zeros((0, 128), np.float16), np.zeros(0, np.float32), np.zeros(0, np.float32))


def degrees_apart(a: float, b: float) -> float:
    return abs((np.rad2deg(a) - b + 180) % 360 - 180)


@pytest.fixture(scope="module")
def probes(texture) -> dict[str, Probe]:
    scene = texture((480, 360), 3)
    stand = {"a": (0, 1), "b": (2, 1), "c": (90, 1), "d": (-3, 1), "e": (180, 1.6)}
    found = {name: probe_photo(turned(scene, *how), None) for name, how in stand.items()}
    return found | {"else": probe_photo(texture((480, 360), 8), None), "flat": NOTHING}


def test_rolls_are_told_from_most_photos_and_zooms_from_the_median(probes):
    turns = survey_turns(probes)
    assert turns.keys() == probes.keys()
    base = np.rad2deg(turns["a"].roll)
    assert abs(base) <= 4
    for name, degrees in {"b": 2, "c": 90, "d": -3, "e": 180}.items():
        assert degrees_apart(turns[name].roll, degrees + base) < 6
    assert turns["a"] == turns["b"] == turns["d"]  # as they stand: nobody minds 5 degrees
    assert turns["e"].zoom == pytest.approx(np.log2(1.6), abs=0.1)
    assert abs(turns["a"].zoom) < 0.1
    assert turns["else"] == turns["flat"] == Turn()
    flat = survey_turns(probes, zoom=False)
    assert flat == {name: Turn(turn.roll) for name, turn in turns.items()}


def test_known_turns_stay_and_others_are_told_from_them(probes):
    known = {"c": Turn(1.0, 2.0), "gone": Turn(3.0, 3.0)}
    turns = survey_turns(probes, known)
    assert turns["c"] == Turn(1.0, 2.0)
    assert "gone" not in turns
    assert degrees_apart(turns["a"].roll, np.rad2deg(1.0) - 90) < 3
    assert turns["a"].zoom == pytest.approx(2, abs=0.1)
    assert turns["e"].zoom == pytest.approx(2 + np.log2(1.6), abs=0.1)


def test_one_photo_and_none():
    assert survey_turns({}) == {}
    assert survey_turns({"a": NOTHING}) == {"a": Turn()}


@pytest.fixture
def compared(monkeypatch) -> list[tuple[float, float]]:
    """Photos that are numbers, 23 degrees from one to the next; those within 5 see each other."""
    asked: list[tuple[float, float]] = []

    def compare(first, second):
        asked.append((first, second))
        near = abs(first - second) <= 5
        return Seen(Turn(0.4 * (second - first)), 20) if near else None

    monkeypatch.setattr(survey, "compare", compare)
    return asked


def test_all_pairs_of_few_photos_are_compared(compared):
    photos = {f"{i:03}": float(i) for i in range(10)}
    survey_turns(photos)
    assert sorted(compared) == list(combinations(map(float, range(10)), 2))


def test_of_many_photos_few_pairs_are_compared_and_all_are_reached(compared):
    photos = {f"{i:03}": float(i) for i in range(200)}
    turns = survey_turns(photos)
    assert len(compared) < 8 * 200
    steps = np.diff([turns[name].roll for name in sorted(turns)])
    np.testing.assert_allclose(np.angle(np.exp(1j * steps)), 0.4, atol=survey.BORNE_ROLL)
    assert np.abs(np.angle(np.exp(1j * np.cumsum(steps)))).max() > 3  # all around


def test_groups_that_names_do_not_join_are_compared_with_the_largest(compared):
    """The last photo in the order of names belongs beside the first."""
    photos = {f"{i:03}": float(i) for i in range(80)} | {"zzz": 40.5}
    turns = survey_turns(photos)
    assert degrees_apart(turns["zzz"].roll - turns["040"].roll, np.rad2deg(0.2)) < 15
    assert len(compared) < 8 * 81 + 20


def test_a_walk_around_a_thing_turns_nobody(monkeypatch):
    """Neighbours 10 degrees apart all around: added up, a turn that is no roll of any photo."""

    def compare(first, second):
        step = (second - first + 18) % 36 - 18
        return Seen(Turn(np.deg2rad(10 * step), 0.1 * step), 50) if abs(step) == 1 else None

    monkeypatch.setattr(survey, "compare", compare)
    turns = survey_turns({f"{i:03}": float(i) for i in range(36)})
    assert set(turns.values()) == {Turn()}


def test_a_turned_half_of_the_photos_is_turned(monkeypatch):
    """Each half agrees with itself, and no photo alone would change sides."""

    def compare(first, second):
        return Seen(Turn(np.pi / 2 * (second % 2 - first % 2)), 50)

    monkeypatch.setattr(survey, "compare", compare)
    turns = survey_turns({f"{i:03}": float(i) for i in range(21)})
    for i in range(21):
        assert degrees_apart(turns[f"{i:03}"].roll, 90 * (i % 2)) < 1e-6
