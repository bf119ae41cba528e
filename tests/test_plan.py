"""What a run will take: counts against the run itself, what a probe is, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import textured

from dift_geo import plan
from dift_geo.colmap import verification
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.errors import InputError, RecipeError
from dift_geo.extractor import Extractor
from dift_geo.images import list_images, write_image
from dift_geo.matching.options import MatchOptions
from dift_geo.pairing import PairOptions
from dift_geo.plan import count_pairs, plan_run
from dift_geo.sfm_options import SfmOptions
from dift_geo.testing import FakeDetector


class Plain:
    """Describes every keypoint by ones: nothing is computed."""

    weight = 1.0

    def describe(self, image, keypoints, name):
        return np.ones((len(keypoints), 8), np.float32) / 8**0.5

    def recipe(self):
        return {"name": "plain"}


EXTRACTOR = Extractor(FakeDetector(spacing=8), Plain())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("planned")
    for i in range(9):
        write_image(place / f"{i}.png", textured((80, 64), i))
    return place


def words(*how, **others) -> SfmOptions:
    return SfmOptions(choice=PairOptions(how=how, **others))


def test_counts_and_bytes_are_those_of_the_run(folder, tmp_path) -> None:
    planned = plan_run(folder, EXTRACTOR, probe=3)
    names = list_images(folder)
    pairs = SfmOptions().choose_pairs(names)
    extract_images(folder, names, EXTRACTOR, tmp_path / "f.h5")
    match_pairs(tmp_path / "f.h5", pairs, tmp_path / "m.h5")
    assert (planned.images, planned.pairs, planned.exact_pairs, planned.probe) == (9, 36, True, 3)
    assert planned.keypoints == 10 * 8
    for told, file in ((planned.features_bytes, "f.h5"), (planned.matches_bytes, "m.h5")):
        size = (tmp_path / file).stat().st_size
        assert 0.5 * size < told < 2 * size
    assert planned.extract_seconds > 0
    assert planned.match_seconds > 0
    assert [path.name for path in sorted(folder.iterdir())] == names  # nothing is left there


@pytest.mark.parametrize(("few", "draws"), [(435, 7), (35, 1)])
def test_pairs_are_verified_as_often_as_the_run_will(folder, monkeypatch, few, draws) -> None:
    """36 pairs are planned for, and 3 are tried."""
    asked, fill = [], plan.fill_database

    def filled(*words, **options):
        asked.append(options["verification"].draws)
        return fill(*words, **options)

    monkeypatch.setattr(verification, "FEW_PAIRS", few)
    monkeypatch.setattr(plan, "fill_database", filled)
    plan_run(folder, EXTRACTOR, probe=3)
    assert asked == [draws]


def test_pairs_that_features_will_choose_are_at_most_so_many(folder) -> None:
    names = list_images(folder)
    assert count_pairs(names, words("sequential:1"), folder) == (8 + 7 + 5 + 1, True)
    assert count_pairs(names, words("retrieval:2"), folder) == (18, False)
    exact, _ = count_pairs(names, words("sequential:1"), folder)
    assert count_pairs(names, words("retrieval:1", "sequential:1"), folder) == (exact + 9, False)
    assert count_pairs(names, words("retrieval:50"), folder) == (36, False)
    assert count_pairs(names, words("retrieval:2", budget=7), folder) == (7, False)
    assert count_pairs(names, words("exhaustive", budget=7), folder) == (7, True)
    assert count_pairs(names, SfmOptions(pairs="sequential", overlap=1), folder) == (8, True)


def test_what_an_earlier_run_finished_is_taken_off(folder, tmp_path) -> None:
    names = list_images(folder)
    fresh = plan_run(folder, EXTRACTOR, probe=3, out=tmp_path)
    assert (fresh.images_left, fresh.pairs_left) == (9, 36)
    assert fresh.verify_seconds > 0
    features, matches = tmp_path / "features.h5", tmp_path / "matches.h5"
    extract_images(folder, names[:4], EXTRACTOR, features)
    begun = plan_run(folder, EXTRACTOR, probe=3, out=tmp_path)
    assert (begun.images, begun.images_left, begun.pairs_left) == (9, 5, 36)
    match_pairs(features, [(names[1], names[0]), (names[2], names[3])], matches)
    begun = plan_run(folder, EXTRACTOR, probe=3, out=tmp_path)
    assert (begun.pairs, begun.pairs_left) == (36, 34)  # in either order
    begun = plan_run(folder, EXTRACTOR, words("retrieval:2"), probe=3, out=tmp_path)
    assert (begun.pairs, begun.pairs_left) == (18, 16)
    with pytest.raises(RecipeError, match=r"matches.h5 was made with other .*ratio is None"):
        plan_run(folder, EXTRACTOR, match=MatchOptions(ratio=0.5), out=tmp_path)
    other = Extractor(FakeDetector(spacing=16), Plain())
    with pytest.raises(RecipeError, match=r"features.h5 .*spacing is 8, expected 16.*would refuse"):
        plan_run(folder, other, out=tmp_path)


def test_photos_that_cannot_be_read_and_too_few_are_told(folder, tmp_path) -> None:
    write_image(tmp_path / "a.png", textured((80, 64)))
    with pytest.raises(InputError, match=r"holds 1 image\(s\), expected at least 2 to plan for"):
        plan_run(tmp_path, EXTRACTOR)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="1 of 2 photos that were tried can be read"):
        plan_run(tmp_path, EXTRACTOR)
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert plan_run(tmp_path, EXTRACTOR).images == 3
