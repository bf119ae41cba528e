"""The page of a model in a real browser."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from browsing import (
    SCHEMES,
    SCREENS,
    complaints,
    find,
    fits_and_can_be_read,
    frames,
    requests,
    shot,
    until,
)

from dift_geo.errors import InputError
from dift_geo.report.run import report_model

# the drawing in space as text: it changes when the model turns
LOOK = "((url) => url.length + url.slice(-400))(viewer.renderer.domElement.toDataURL())"


@pytest.fixture(scope="module")
def page(browser, run):
    browser.get(report_model(run.out, truth=run.truth).as_uri())
    until(browser, "return picked >= 0 && document.getElementById('photo').width > 100")
    return browser


def test_it_loads_without_a_word_and_asks_nobody(page) -> None:
    assert complaints(page) == []
    assert requests(page) == []
    assert page.execute_script("return viewer.posed.length") == 4


def test_the_model_turns_by_keys(page) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = find(page, "#stage canvas")
    before = frames(page, LOOK)
    canvas.send_keys(Keys.ARROW_LEFT * 3)
    turned = frames(page, LOOK)
    assert turned != before
    canvas.send_keys("0")
    assert frames(page, LOOK) != turned
    canvas.send_keys("n")
    assert page.execute_script("return picked") == 1


def test_a_camera_opens_its_photo(page) -> None:
    """A click on a camera, where its front is seen from the first view."""
    from selenium.webdriver.common.action_chains import ActionChains

    find(page, "#reset").click()
    page.execute_script("document.getElementById('stage').scrollIntoView()")
    frames(page, LOOK)
    for index in (3, 0):
        x, y = page.execute_script(
            "const p = viewer.project(viewer.posed[arguments[0]]); return [p.x, p.y]", index
        )
        canvas = find(page, "#stage canvas")
        w, h = canvas.size["width"], canvas.size["height"]
        ActionChains(page).move_to_element_with_offset(
            canvas, round(x * w / 2), round(-y * h / 2)
        ).click().perform()
        until(page, f"return picked === {index}")
    assert find(page, "#photo-name").text == "view 0.png"
    assert "of its keypoints see a point" in find(page, "#photo").get_attribute("aria-label")


def test_a_pair_opens_and_closes(page) -> None:
    from selenium.webdriver.common.keys import Keys

    button = find(page, "td [data-pair='0']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.send_keys(Keys.ENTER)
    until(page, "return document.getElementById('pair-canvas').width > 300")
    assert find(page, "#pair").is_displayed()
    assert "of 120 matches" in find(page, "#pair-words").text
    shot(page, "pair")
    find(page, "#close").click()
    assert not find(page, "#pair").is_displayed()


@SCHEMES
@SCREENS
def test_it_fits_and_can_be_read(page, scheme, phone) -> None:
    fits_and_can_be_read(page, "model", scheme, phone)


def test_the_picture_of_the_readme(browser, run, pipeline_module, tmp_path, capsys) -> None:
    readme_picture = pipeline_module("readme_picture")
    words = [str(report_model(run.out)), str(tmp_path / "page.jpg")]
    assert readme_picture.main(words) == 0
    assert (tmp_path / "page.jpg").stat().st_size < 300_000
    h, w = cv2.imread(str(tmp_path / "page.jpg")).shape[:2]
    assert min(h, w) > 600  # no part of it lies outside the window
    assert readme_picture.main([str(tmp_path / "none.html"), words[1]]) == 1
    assert "`dift-geo report OUT` writes it" in capsys.readouterr().err


def test_a_picture_keeps_to_its_bytes(pipeline_module) -> None:
    readme_picture = pipeline_module("readme_picture")
    noise = np.random.default_rng(0).integers(0, 256, (500, 600, 3), np.uint8)
    assert len(readme_picture.small_jpeg(noise)) <= 300_000
    with pytest.raises(InputError, match="more than 300000 bytes"):
        readme_picture.small_jpeg(np.tile(noise, (4, 4, 1)))


def test_the_size_and_the_first_view_are_measured(browser, run, pipeline_module, tmp_path, capsys):
    page = report_model(run.out)
    words = [str(page), "--times", "1", "--shots", str(tmp_path / "shots")]
    assert pipeline_module("bench/page").main(words) == 0
    size = page.stat().st_size / 1e6
    assert capsys.readouterr().out.startswith(f"{page}: {size:.1f} MB, first view after ")
    shots = sorted(path.name for path in (tmp_path / "shots").iterdir())
    assert shots == [f"out-{s}-{c}.png" for s in ("desktop", "phone") for c in ("dark", "light")]
