#!/usr/bin/env python3
"""How large a page of `dift-geo report` is, and how long a browser takes to its first view.

    python pipelines/bench/page.py OUT/report.html --times 5 --shots shots/

Needs selenium and chromium as the tests of pages do: CONTRIBUTING.md has the lines. The view is
there when the first photo and, on a model's page, the scene are drawn; seconds count from the
moment the browser is sent there. A loaded machine makes them many; the seconds of processor that
the browser used until then, all its processes together, say what they would be on a quiet one.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from base64 import b64decode
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from dift_geo.errors import DiftGeoError, MissingFileError
from dift_geo.recipe import write_whole

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# of a model's page; the others are all there when they are loaded
VIEW = """
const told = arguments[0];
const model = document.getElementById("stage");
function look() {
  const photo = document.getElementById("photo");
  const there = !model || (photo.width > 100 && model.querySelector("canvas"));
  if (there) requestAnimationFrame(() => told(performance.now() / 1000));
  else requestAnimationFrame(look);
}
look();
"""
SCREENS = {
    "desktop": {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    "phone": {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    options = parser.parse_args(argv)
    beside = runpy.run_path(str(Path(__file__).parents[1] / "readme_picture.py"))
    try:
        for page in options.pages:
            if not page.is_file():
                raise MissingFileError(f"no page at {page}; `dift-geo report OUT` writes it")
        with beside["opened"]() as browser:
            for page in options.pages:
                desktop = SCREENS["desktop"]
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", desktop)
                found = [first_view_s(browser, page) for _ in range(options.times)]
                seconds, used = zip(*found)
                print(
                    f"{page}: {page.stat().st_size / 1e6:.1f} MB, first view after "
                    f"{median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} in "
                    f"{len(seconds)} times; {median(used):.2f} s of processor"
                )
                if options.shots is not None:
                    take_shots(browser, options.shots, page.absolute().parent.name)
    except DiftGeoError as error:
        print(f"page: {error}", file=sys.stderr)
        return 1
    return 0


def first_view_s(browser: Chrome, page: Path) -> tuple[float, float]:
    """Seconds from the start of the navigation until the view is drawn, and those of processor."""
    browser.get("about:blank")
    before = processor_s(browser.service.process.pid)
    browser.get(page.resolve().as_uri())
    seconds = float(browser.execute_async_script(VIEW))
    return seconds, processor_s(browser.service.process.pid) - before


def processor_s(root: int) -> float:
    """Seconds of processor that a process and all that it started have used, on Linux."""
    used, parent = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        pid = int(file.parent.name)
        parent[pid], used[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {root}
    for pid in sorted(parent):  # children are younger, and numbers rise
        if parent[pid] in family:
            family.add(pid)
    return sum(used.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")


def take_shots(browser: Chrome, folder: Path, name: str) -> None:
    """The first screen of the page on a desktop and on a phone, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for screen, metrics in SCREENS.items():
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for scheme in ("light", "dark"):
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            browser.execute_async_script(
                "setTimeout(() => requestAnimationFrame(() => arguments[0]()), 300)"
            )
            png = b64decode(browser.get_screenshot_as_base64())
            write_whole(folder / f"{name}-{screen}-{scheme}.png", png)


if __name__ == "__main__":
    sys.exit(main())
