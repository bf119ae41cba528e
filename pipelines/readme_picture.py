#!/usr/bin/env python3
"""The picture of a model's page that README shows, taken anew in Debian's chromium.

    python pipelines/demo.py demo_out
    dift-geo report demo_out/scene_8x640
    python pipelines/readme_picture.py demo_out/scene_8x640/report.html docs/page.jpg

Needs selenium and chromium as the tests of pages do: CONTRIBUTING.md has the lines.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import DiftGeoError, InputError, MissingFileError
from dift_geo.recipe import write_whole

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MOST_BYTES = 300_000
QUALITIES = range(90, 29, -10)
SECTION = "section[aria-labelledby='model-title']"
READY = (
    "return picked >= 0 && document.getElementById('photo').width > 100 && "
    "document.querySelector('#stage canvas') !== null"
)
WAIT_S = 120
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--window-size=1100,2400",
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="report.html of a model")
    parser.add_argument("picture", type=Path, help="gets the JPEG")
    options = parser.parse_args(argv)
    try:
        data = small_jpeg(photograph(options.page))
    except DiftGeoError as error:
        print(f"readme_picture: {error}", file=sys.stderr)
        return 1
    write_whole(options.picture, data)
    print(f"{len(data) / 1000:.0f} kB -> {options.picture}")
    return 0


def photograph(page: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR: the part of a model's page in which the model is turned."""
    if not page.is_file():
        raise MissingFileError(f"no page at {page}; `dift-geo report OUT` writes it")
    with opened() as browser:
        from selenium.webdriver.support.ui import WebDriverWait

        browser.get(page.resolve().as_uri())
        WebDriverWait(browser, WAIT_S).until(lambda now: now.execute_script(READY))
        browser.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )
        png = browser.find_element("css selector", SECTION).screenshot_as_png
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(shown, np.uint8)


@contextmanager
def opened() -> Iterator[Chrome]:
    """A browser without a window."""
    try:
        from selenium import webdriver
    except ImportError as error:
        raise InputError("no selenium; CONTRIBUTING.md says how to get it") from error
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        raise InputError("no chromium and chromedriver; CONTRIBUTING.md says how to get them")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.set_script_timeout(WAIT_S)
        yield browser
    finally:
        browser.quit()


def small_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A JPEG of at most MOST_BYTES, as good as that allows."""
    for quality in QUALITIES:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= MOST_BYTES:
            return data
    raise InputError(f"a picture of {picture.shape} pixels has more than {MOST_BYTES} bytes")


if __name__ == "__main__":
    sys.exit(main())
