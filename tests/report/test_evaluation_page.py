"""The page of an evaluation: what its places and words are made of, and in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from browsing import SCHEMES, SCREENS, complaints, find, fits_and_can_be_read, requests, until
from conftest import textured

from dift_geo.cli.main import main
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import write_image
from dift_geo.report.charts import HEIGHT, WIDTH, bar_charts, curve_panels
from dift_geo.report.evaluation import report_evaluation

NUMBERS = {"acc@1": 0.25, "acc@3": 0.5, "median_deg": 12.0, "pairs": 4.0}
HOSTILE = "</script><script>alert(1)</script>"


def of_method(add: float) -> dict:
    own = {name: value + add for name, value in NUMBERS.items()}
    wide = {name: [value - 0.1, value + 0.2] for name, value in own.items()}
    intervals = {"all": wide, "one": dict.fromkeys(own)}
    scenes = {"a": own, "b": {**own, "acc@3": 1.0}}
    return {"all": own, "one": own, "intervals": intervals, "scenes": scenes}


def made(**changed) -> dict:
    """Results as an evaluation leaves them: two methods, two scenes, two tables."""
    layout = {
        "title": "Poses",
        "note": "made up",
        "headline": ["acc@3", "median_deg"],
        "beside": ["acc@1"],
        "group": "scene",
        "groups": "scenes",
        "items": "pairs",
        "by_group": True,
        "curves": [{"metric": "acc", "limits": [1, 3], "x": "degrees", "y": "share of pairs"}],
        "bars": {"acc@3": "accuracy", "median_deg": "median error"},
        "quoted": {"somebody": {"acc@3": 0.75}},
        "quoted_from": "a paper",
    }
    gap = {"difference": 0.25, "interval": [0.1, 0.4]}
    unsure = {"difference": 0.25, "interval": None}
    units = {"acc@1": "share", "acc@3": "share", "median_deg": "deg"}
    return {
        "protocol": "poses",
        "source": "nowhere",
        "scenes": 2,
        "pairs": 8,
        "groups": {"all": ["a", "b"], "one": ["a"]},
        "methods": {"plain": of_method(0.0), HOSTILE: of_method(0.25)},
        "differences": {f"{HOSTILE} - plain": {"all": {"acc@3": gap, "median_deg": unsure}}},
        "dataset": "/data",
        "problems": ["c has no truth"],
        "excluded": [],
        "command": "dift-geo evaluate",
        "recipe": {"seed": 0},
        "versions": {"dift-geo": "0"},
        "bootstrap": {"draws": 10, "seed": 0},
        "layout": layout,
        "measures": {name: {"unit": unit} for name, unit in units.items()},
        **changed,
    }


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "results.json").write_text(json.dumps(made()))
    return tmp_path


def draw_gallery(out: Path, **changed) -> None:
    path = out / "pictures" / "plain" / "best1.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, textured((220, 88)))
    one = {"method": "plain", "which": "best", "file": "plain/best1.png", "group": "a"}
    one |= {"item": "1-2", "values": {"matches": "12"}, **changed}
    (out / "pictures" / "gallery.json").write_text(json.dumps({"pictures": [one]}))


def test_curves_are_where_their_numbers_are() -> None:
    panels = curve_panels(made())
    assert [panel.group for panel in panels] == ["all", "one"]
    left, top, right, bottom = panels[0].corners
    plain, other = panels[0].lines
    x = np.interp([1, 3], [1, 3], [left, right])
    y = np.interp([0.25, 0.5], [0, 1], [bottom, top])
    np.testing.assert_allclose([dot[:2] for dot in plain.dots], np.column_stack([x, y]))
    assert [float(n) for n in re.split("[ ,]", plain.points)] == pytest.approx(
        [x[0], y[0], x[1], y[1]], abs=0.06
    )
    assert plain.dots[1][2] == "plain, acc@3: 50.0 [40.0, 70.0]"
    assert len(plain.band.split()) == 4
    assert panels[1].lines[0].band == ""  # one scene has no interval
    assert 0 < left < right < WIDTH
    assert 0 < top < bottom < HEIGHT
    assert other.row == 1


def test_bars_are_as_long_as_their_numbers() -> None:
    charts = {chart.title: chart.rows for chart in bar_charts(made())}
    assert list(charts) == [
        "accuracy, per scene",
        "accuracy, per table",
        "median error, per scene",
        "median error, per table",
    ]
    a, b = charts["accuracy, per scene"]
    assert (a.name, b.name) == ("a", "b")
    assert b.bars[0].length == pytest.approx(2 * a.bars[0].length)  # 100 and 50 per cent
    longest = [bar.length for row in charts["median error, per scene"] for bar in row.bars]
    assert longest[1] == max(longest) == b.bars[0].length  # the largest takes the whole place
    low, high = charts["accuracy, per table"][0].bars[0].interval
    assert (low, high) == pytest.approx((0.4 * b.bars[0].length, 0.7 * b.bars[0].length))
    few = made(layout={**made()["layout"], "bars": {}, "by_group": False})
    assert [chart.title for chart in bar_charts(few)] == ["acc@3, per table"]


def test_the_page_says_what_the_results_say(out) -> None:
    text = report_evaluation(out).read_text(encoding="utf-8")
    assert '<span class="badge sure">+25.0 [10.0, 40.0]</span>' in text
    assert "<td>+0.25</td>" in text  # without an interval nothing is sure
    assert "quoted: somebody" in text
    assert "c has no truth" in text
    assert "This run drew no pictures of pairs" in text
    assert HOSTILE not in text
    assert text.count("<script") == 2
    assert "connect-src 'none'" in text.replace("&#39;", "'")


def test_pictures_are_those_of_the_list(out) -> None:
    draw_gallery(out)
    text = report_evaluation(out).read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 1
    assert 'data-picture="matches 12"' in text
    draw_gallery(out, method="of another run")
    assert "data:image" not in report_evaluation(out).read_text(encoding="utf-8")


def test_what_is_no_evaluation_is_told(tmp_path, out, capsys) -> None:
    with pytest.raises(MissingFileError, match="expected the OUT of `dift-geo evaluate`"):
        report_evaluation(tmp_path / "none")
    for words, told in (
        ([tmp_path / "none"], "no folder"),
        ([out, "--images", out], "--images and --truth are of a model"),
    ):
        assert main(["report", *map(str, words)]) == 1
        assert told in capsys.readouterr().err
    (out / "summary.json").write_text("{}")
    assert main(["report", str(out)]) == 1
    assert "holds a model and an evaluation" in capsys.readouterr().err
    (out / "results.json").write_text('{"methods": {}}')
    with pytest.raises(InputError, match="run the evaluation again"):
        report_evaluation(out)


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    (out / "results.json").write_text(json.dumps(made()))
    draw_gallery(out)
    browser.get(report_evaluation(out).as_uri())
    return browser


def test_a_method_goes_and_a_picture_opens(page) -> None:
    assert complaints(page) == []
    assert requests(page) == []
    button, line = find(page, "[data-toggle='1']"), find(page, "g[data-method='1']")
    assert line.is_displayed()
    button.click()
    assert not line.is_displayed()
    assert find(page, "g[data-method='0']").is_displayed()
    button.click()
    assert line.is_displayed()
    picture = find(page, "[data-picture]")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    picture.send_keys("\n")
    until(page, "return document.getElementById('large-picture').naturalWidth > 200")
    assert find(page, "#large-words").text == "matches 12"
    assert find(page, "#large-picture").get_attribute("alt") == "plain, a, 1-2"
    find(page, "#close").click()
    assert not find(page, "#large").is_displayed()


@SCHEMES
@SCREENS
def test_it_fits_and_can_be_read(page, scheme, phone) -> None:
    fits_and_can_be_read(page, "evaluation", scheme, phone)
