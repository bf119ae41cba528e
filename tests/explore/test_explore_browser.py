"""The explorer in a real browser: clicks, keys, words, and the page that is saved."""

from __future__ import annotations

import numpy as np
import pytest
from browsing import SCHEMES, SCREENS, complaints, find, fits_and_can_be_read, requests, until

from tests.explore.warped import POINTS, H, W, off_px, shares

PHOTO, OTHER = "[data-image='0']", "[data-image='1']"
DRAWN = "return document.querySelector(\"[data-image='1']\").width > 100"


@pytest.fixture(scope="module")
def page(browser, server):
    browser.get(server.url)
    until(browser, DRAWN)
    return browser


def click(page, x: float, y: float) -> None:
    """Click at shares of the first photo's sides."""
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = find(page, PHOTO)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    w, h = canvas.size["width"], canvas.size["height"]
    actions = ActionChains(page)
    actions.move_to_element_with_offset(canvas, round((x - 0.5) * w), round((y - 0.5) * h))
    actions.click().perform()


def test_clicks_land_where_the_points_are(page, server) -> None:
    off = []
    for count, xy in enumerate(POINTS, 1):
        click(page, *shares(xy))
        until(page, f"return kept.length === {count} && asking === {count}")
        point = page.execute_script("return kept.at(-1)")
        clicked = np.array([point["x"], point["y"]]) * (W, H) - 0.5
        np.testing.assert_allclose(clicked, xy, atol=1)
        off.append(off_px(point["found"][1], clicked))
    assert np.median(off) < 5
    assert complaints(page) == []
    assert set(requests(page)) == {f"{server.url}look"}


def test_points_are_picked_by_keys(page) -> None:
    from selenium.webdriver.common.keys import Keys

    find(page, "#clear").click()
    until(page, "return kept.length === 0")
    assert find(page, "#words").text == "No point is picked."
    before = page.execute_script("return {...crosses[0]}")
    asked = page.execute_script("return asking")
    find(page, PHOTO).send_keys(Keys.ARROW_RIGHT * 3, Keys.ARROW_UP, Keys.ENTER)
    until(page, f"return kept.length === 1 && asking === {asked + 1}")
    point = page.execute_script("return kept[0]")
    found = [point["x"] - before["x"], point["y"] - before["y"]]
    np.testing.assert_allclose(found, [0.03, -0.01], atol=1e-9)


def test_photos_say_what_is_seen(page) -> None:
    until(page, "return canvases[1].getAttribute('aria-label').includes('mutual')")
    label = find(page, OTHER).get_attribute("aria-label")
    assert label.startswith("b.png best place: ")
    assert find(page, PHOTO).get_attribute("aria-label").strip() == "a.png"
    assert find(page, "#words").text.startswith("Point 1 of a.png")


@SCHEMES
@SCREENS
def test_it_fits_and_can_be_read(page, scheme, phone) -> None:
    fits_and_can_be_read(page, "explore", scheme, phone)


def test_a_saved_page_shows_the_points_and_asks_nobody(browser, server, tmp_path) -> None:
    x, y = shares(POINTS[0])
    answer = server.answer({"image": 0, "x": x, "y": y})
    (tmp_path / "shared.html").write_text(server.page([answer], live=False), encoding="utf-8")
    browser.get((tmp_path / "shared.html").as_uri())
    until(browser, DRAWN)
    until(browser, "return canvases[1].getAttribute('aria-label').includes('best place')")
    click(browser, 0.5, 0.5)
    assert browser.execute_script("return kept.length") == 1
    assert complaints(browser) == []
    assert requests(browser) == []
