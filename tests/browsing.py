"""A real browser for tests of pages: Debian's chromium by selenium. Skips where either is absent;
$DIFT_GEO_SHOTS names a folder for pictures of the pages.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
SCREENS = pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@contextmanager
def open_browser() -> Iterator:
    """A browser of its own, without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: see CONTRIBUTING.md")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver: see CONTRIBUTING.md")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(WAIT_S)
    try:
        yield opened
    finally:
        opened.quit()


def until(browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, WAIT_S).until(lambda opened: opened.execute_script(script))


def find(browser, selector: str):
    return browser.find_element("css selector", selector)


def frames(browser, script: str = "null"):
    """The value of a script two frames later, when all is drawn."""
    frame = "requestAnimationFrame"
    return browser.execute_async_script(
        f"const look = () => {{ return {script} }};"
        f"{frame}(() => {frame}(() => arguments[0](look())));"
    )


def shot(browser, name: str) -> None:
    if folder := os.environ.get("DIFT_GEO_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def complaints(browser) -> list[str]:
    """What the console has to say."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def requests(browser) -> list[str]:
    """What the page asked for beside itself and what it holds."""
    names = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    return [name for name in browser.execute_script(names) if not name.startswith("data:")]


def fits_and_can_be_read(browser, name: str, scheme: str, phone: bool) -> None:
    """Nothing is wider than the screen; axe finds no pale words and nothing without a name."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE if phone else DESKTOP)
    browser.execute_script("scrollTo(0, 0)")
    frames(browser)
    shot(browser, f"{name}-{'phone' if phone else 'desktop'}-{scheme}")
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0
    axe = pytest.importorskip("axe_core_python", reason="no axe-core-python: see CONTRIBUTING.md")
    code = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    browser.execute_script(code)
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    told = [(rule["id"], rule["nodes"][0]["html"][:120]) for rule in found["violations"]]
    assert told == []
