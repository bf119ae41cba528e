"""The page of a model in a real browser: Debian's chromium by selenium. Skips where either is
absent; $DIFT_GEO_SHOTS names a folder for pictures of the page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dift_geo.report.run import report_model

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: see CONTRIBUTING.md")
WAIT_S = 60  # a loaded machine draws slowly
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-device-scale-factor=1",
    "--window-size=1280,900",
)
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
# the drawing in space as text: it changes when the model turns
LOOK = "const url = viewer.renderer.domElement.toDataURL(); return url.length + url.slice(-400)"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver: see CONTRIBUTING.md")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(WAIT_S)
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def page(browser, run):
    browser.get(report_model(run.out, truth=run.truth).as_uri())
    until(browser, "return picked >= 0 && document.getElementById('photo').width > 100")
    return browser


def until(browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, WAIT_S).until(lambda opened: opened.execute_script(script))


def find(browser, selector: str):
    return browser.find_element("css selector", selector)


def look(browser) -> str:
    """What is drawn in space, when it is drawn."""
    frame = "requestAnimationFrame"
    return browser.execute_async_script(
        f"const look = () => {{ {LOOK} }};{frame}(() => {frame}(() => arguments[0](look())));"
    )


def shot(browser, name: str) -> None:
    if folder := os.environ.get("DIFT_GEO_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_it_loads_without_a_word_and_asks_nobody(page) -> None:
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []
    names = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    asked = page.execute_script(names)
    assert [name for name in asked if not name.startswith("data:")] == []
    assert page.execute_script("return viewer.posed.length") == 4


def test_the_model_turns_by_keys(page) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = find(page, "#stage canvas")
    before = look(page)
    canvas.send_keys(Keys.ARROW_LEFT * 3)
    turned = look(page)
    assert turned != before
    canvas.send_keys("0")
    assert look(page) != turned
    canvas.send_keys("n")
    assert page.execute_script("return picked") == 1


def test_a_camera_opens_its_photo(page) -> None:
    """A click on a camera, where its front is seen from the first view."""
    from selenium.webdriver.common.action_chains import ActionChains

    find(page, "#reset").click()
    page.execute_script("document.getElementById('stage').scrollIntoView()")
    look(page)
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(page, scheme, phone) -> None:
    """Nothing is wider than the screen; axe finds no pale words and nothing without a name."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE if phone else DESKTOP)
    page.execute_script("scrollTo(0, 0)")
    look(page)
    shot(page, f"{'phone' if phone else 'desktop'}-{scheme}")
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(wide) <= 0
    axe = pytest.importorskip("axe_core_python", reason="no axe-core-python: see CONTRIBUTING.md")
    code = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    page.execute_script(code)
    found = page.execute_async_script("axe.run().then(arguments[0])")
    told = [(rule["id"], rule["nodes"][0]["html"][:120]) for rule in found["violations"]]
    assert told == []
