"""Methods in the words of a user."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.backends.config import Dense
from dift_geo.benchmark.words import method_from_words
from dift_geo.extractor import ExtractorOptions
from dift_geo.matching.options import MatchOptions


def test_a_method_in_words():
    extractor = ExtractorOptions(max_keypoints=1000, size=None)
    words = "plain:descriptor=rootsift,max-keypoints=70,ratio=0.8"
    method = method_from_words(words, extractor, MatchOptions(min_similarity=0.1))
    assert method.name == "plain"
    assert method.matching == MatchOptions(ratio=0.8, min_similarity=0.1)
    assert method.extractor.detector.max_keypoints == 70
    assert method.extractor.size is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "plain:colour=red",
            "has 'colour=red', expected flag=value with one of backend, contrast",
        ),
        ("plain:ratio", "has 'ratio', expected flag=value"),
        ("plain:ratio=tight", "ratio is 'tight', expected float"),
        ("plain:ratio=2", "ratio is 2"),
        ("plain:max-keypoints=0", "max_keypoints is 0, expected at least 1"),
        ("pl/ain:descriptor=rootsift", "expected letters, digits"),
        ("plain:descriptor=rootsift,reading=dense", "reading is set"),
    ],
)
def test_says_what_is_wrong_with_the_words(words, message):
    with pytest.raises(ValueError, match=message):
        method_from_words(words)


def test_options_of_the_model_do_not_reach_a_method_without_one():
    """`--reading dense --method a --method b:descriptor=rootsift` is no contradiction."""
    extractor = ExtractorOptions(reading="dense", max_batch=8, max_keypoints=30)
    assert isinstance(method_from_words("a", extractor).extractor.describer.config.reading, Dense)
    assert (
        method_from_words("b:descriptor=rootsift", extractor).extractor.describer.name == "rootsift"
    )


def test_words_of_version_01(tmp_path):
    from dift_geo.benchmark_methods import method_from_words as old

    np.savetxt(tmp_path / "v_a-1.kp", [[1, 2]])
    defaults = {"backend": "tiny", "reading": "dense", "size": None, "ratio": 0.7}
    method = old("sd:ratio=0.8,max-batch=4", defaults, tmp_path)
    assert method.matching.ratio == 0.8
    assert method.extractor.detector.name == "listed"
