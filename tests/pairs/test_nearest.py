"""Neighbours by place and by pose, and where photos were taken."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest
from conftest import textured
from PIL import Image

from dift_geo.errors import InputError
from dift_geo.pairs.gps import place_of, places_of
from dift_geo.pairs.nearest import rank_places, rank_poses


def haversine_m(a, b) -> float:
    """Another formula for the same distance."""
    (la, oa), (lb, ob) = np.radians(a), np.radians(b)
    h = np.sin((lb - la) / 2) ** 2 + np.cos(la) * np.cos(lb) * np.sin((ob - oa) / 2) ** 2
    return 2 * 6_371_000 * np.arcsin(np.sqrt(h))


def test_the_nearest_by_great_circle_are_found_across_the_date_line_and_the_pole() -> None:
    random = np.random.default_rng(0)
    places = {f"{i:02}": (random.uniform(80, 90), random.uniform(-180, 180)) for i in range(20)}
    places |= {"east": (10.0, 179.99), "west": (10.0, -179.99)}
    ranking = rank_places(places, 3)
    assert ranking[("east", "west") if ("east", "west") in ranking else ("west", "east")] == 1
    for name in places:
        order = sorted(
            (other for other in places if other != name),
            key=lambda other: haversine_m(places[name], places[other]),
        )
        for rank, other in enumerate(order[:3], 1):
            pair = (name, other) if (name, other) in ranking else (other, name)
            assert ranking[pair] <= rank


def turned(angle_deg: float, centre) -> np.ndarray:
    """A camera at `centre` that looks along z turned about y."""
    angle = np.radians(angle_deg)
    R = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    return np.concatenate([R, -R @ np.array(centre, float)[:, None]], 1)


def test_poses_are_near_and_look_the_same_way() -> None:
    poses = {
        "a": turned(0, (0, 0, 0)),
        "b": turned(10, (1, 0, 0)),
        "c": turned(-20, (3, 0, 0)),
        "back": turned(180, (0.1, 0, 0)),
        "aside": turned(85, (0.2, 0, 0)),
    }
    ranking = rank_poses(poses, 2)
    assert ranking["a", "aside"] == 1
    assert ranking["a", "b"] == 2
    assert not any("back" in pair for pair in ranking)  # the nearest to a, but turned away
    assert rank_poses({}, 2) == rank_poses({"a": poses["a"]}, 2) == {}


def with_gps(path, latitude, longitude, halves=("N", "E")) -> None:
    exif = Image.Exif()
    gps = exif.get_ifd(0x8825)
    gps.update({1: halves[0], 2: latitude, 3: halves[1], 4: longitude, 5: b"\0", 6: 30.0})
    Image.fromarray(textured((64, 48))).save(path, exif=exif)


@pytest.mark.parametrize("halves", [("N", "E"), ("S", "W")])
def test_places_are_those_that_colmap_reads(tmp_path, halves) -> None:
    path = tmp_path / "a.jpg"
    with_gps(path, (52.0, 31.0, 7.44), (13.0, 22.5, 0.0), halves)
    bitmap = pycolmap.Bitmap.read(str(path), False)
    found = place_of(path)
    assert found == pytest.approx((bitmap.exif_latitude(), bitmap.exif_longitude()), abs=1e-9)
    assert abs(found[0]) == pytest.approx(52 + 31 / 60 + 7.44 / 3600)


def test_photos_without_a_place_have_none(tmp_path) -> None:
    with_gps(tmp_path / "far.jpg", (91.0, 0.0, 0.0), (13.0, 0.0, 0.0))
    with_gps(tmp_path / "null.jpg", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    Image.fromarray(textured((64, 48))).save(tmp_path / "plain.png")
    (tmp_path / "text.jpg").write_text("no picture")
    names = ["far.jpg", "null.jpg", "plain.png", "text.jpg", "missing.jpg"]
    assert [place_of(tmp_path / name) for name in names] == [None] * 5
    with_gps(tmp_path / "one.jpg", (50.0, 0.0, 0.0), (8.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"1 of 6 photos in .* say where.*expected at least 2"):
        places_of(tmp_path, [*names, "one.jpg"])
