"""The page of a run, from plain data: what stands where, and in which unit."""

from __future__ import annotations

import pytest

from dift_geo.report.markdown import as_markdown


def results(**changes) -> dict:
    """As results.json: two methods on three pairs."""
    methods = {
        "plain": {
            "all": {"acc@3": 0.5, "matches": 120.4, "error": 1.234, "pairs": 3.0},
            "intervals": {"all": {"acc@3": [0.25, 0.75], "matches": [100, 140], "error": None}},
        },
        "other": {
            "all": {"acc@3": 0.625, "matches": 80.0, "error": 2.0, "pairs": 3.0},
            "intervals": {"all": {"acc@3": [0.5, 0.75], "matches": None, "error": None}},
        },
    }
    gap = {
        "acc@3": {"difference": 0.125, "interval": [0.1, 0.2]},
        "matches": {"difference": -40.4, "interval": [-60, 20]},
    }
    plain = {
        "protocol": "mine",
        "source": "A definition",
        "scenes": 2,
        "pairs": 3,
        "groups": {"all": ["a", "b"]},
        "methods": methods,
        "differences": {"other - plain": {"all": gap}},
        "dataset": "/data",
        "problems": ["c: is broken"],
        "excluded": ["d", "e"],
        "command": "dift-geo evaluate",
        "versions": {"python": "3", "numpy": "2"},
        "bootstrap": {"draws": 50, "seed": 7},
        "layout": {
            "title": "Poses",
            "note": "by hand",
            "headline": ["acc@3", "matches"],
            "beside": ["error"],
            "groups": "scenes",
            "items": "pairs",
        },
        "measures": {
            "acc@3": {"unit": "share"},
            "matches": {"unit": "count"},
            "error": {"unit": "px"},
        },
    }
    return {**plain, **changes}


def test_the_page_says_what_was_measured_and_how():
    lines = as_markdown(results()).splitlines()
    assert lines[0] == "# Poses, protocol `mine`"
    assert lines[2] == "A definition."
    assert lines[4] == (
        "3 pairs of 2 scenes in `/data`; by hand. Shares in per cent with 95 % intervals over "
        "scenes (50 resamples, seed 7)."
    )
    assert lines[6].startswith("With so few scenes the intervals are rough")
    assert "- left out: c: is broken" in lines
    assert "- not part of the protocol: d, e" in lines
    assert "Command: `dift-geo evaluate`" in lines
    assert "Versions: python 3, numpy 2" in lines


def test_tables_have_every_number_in_its_unit():
    lines = as_markdown(results()).splitlines()
    assert "## all (2 scenes, 3 pairs)" in lines
    assert "| method | acc@3 | matches | error |" in lines
    assert "| plain | 50.0 [25.0, 75.0] | 120 [100, 140] | 1.23 |" in lines
    assert "| other | 62.5 [50.0, 75.0] | 80 | 2.00 |" in lines


def test_differences_without_zero_are_bold():
    lines = as_markdown(results()).splitlines()
    assert "## Paired differences, all scenes" in lines
    assert "| methods | acc@3 | matches |" in lines
    assert "| other - plain | **+12.5 [10.0, 20.0]** | -40 [-60, 20] |" in lines


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"differences": {}}, "Paired differences"),
        ({"problems": []}, "left out"),
        ({"excluded": []}, "not part of"),
        ({"scenes": 10}, "With so few"),
    ],
)
def test_what_there_is_none_of_is_not_mentioned(changes, absent):
    assert absent in as_markdown(results())
    assert absent not in as_markdown(results(**changes))


def test_items_that_are_resampled_one_by_one_are_counted_once():
    own = results()
    own["layout"] = {**own["layout"], "groups": "pairs"}
    lines = as_markdown(own).splitlines()
    assert lines[4].startswith("3 pairs in `/data`; by hand.")
    assert "## all (3 pairs)" in lines


def test_published_numbers_stand_under_the_rows_marked_as_quoted():
    quoted = {"SuperPoint": {"acc@3": 0.6}, "Other": {"matches": 12.0, "unknown": 1.0}}
    layout = {**results()["layout"], "quoted": quoted, "quoted_from": "notes"}
    groups = {"all": ["a", "b"], "a": ["a"]}
    one = {"acc@3": 0.5, "matches": 1.0, "error": 1.0, "pairs": 1.0}
    methods = results()["methods"]
    for own in methods.values():
        own["a"] = one
        own["intervals"]["a"] = dict.fromkeys(one)
    text = as_markdown(results(layout=layout, groups=groups, methods=methods))
    assert "| *quoted:* SuperPoint | 60.0 |  |  |\n| *quoted:* Other |  | 12 |  |\n" in text
    assert text.count("Quoted rows were not run here; read from notes.") == 1
    assert "quoted" not in as_markdown(results())
