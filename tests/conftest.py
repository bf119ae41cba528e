"""What tests share: rendered pictures, the shipped backbone, and the research data where it is
present.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from browsing import open_browser

ROOT = Path(__file__).resolve().parent.parent
# few and long: begun first, so that at the end no process waits for one of them; and those that
# fork, while there is little memory to copy
LONG = (
    "tests/store/test_full_disk.py",
    "tests/engine/test_ray.py",
    "tests/test_notebooks.py",
    "tests/hloc_plugin/",
    "tests/pipelines/",
    "tests/test_public.py",
    "tests/test_readme.py",
    "tests/test_extending.py",
    "tests/test_extractor.py",
)


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, and so would every process that a test stops."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """What is loaded stays loaded: looking at it again and again takes a twentieth of the time."""
    gc.collect()
    gc.freeze()


def textured(size_wh: tuple[int, int] = (320, 240), seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB with structure at every scale: octaves of smooth noise under discs and
    bars.
    """
    random = np.random.default_rng(seed)
    w, h = size_wh
    picture = np.zeros((h, w, 3), np.float32)
    for sigma in (1, 2, 4, 8, 16):
        octave = cv2.GaussianBlur(
            random.standard_normal((h, w, 3)).astype(np.float32), (0, 0), sigma
        )
        picture += octave / octave.std()
    picture = np.clip(picture * 25 + 128, 0, 255).astype(np.uint8)
    for _ in range(w * h // 1500):
        centre, radius = (
            (int(random.integers(w)), int(random.integers(h))),
            int(random.integers(2, 14)),
        )
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        if random.random() < 0.5:
            cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA)
        else:
            end = (
                centre[0] + int(random.integers(-30, 30)),
                centre[1] + int(random.integers(-30, 30)),
            )
            cv2.line(picture, centre, end, colour, int(random.integers(1, 5)), cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


@pytest.fixture(scope="session")
def texture() -> Callable[..., np.ndarray]:
    """The renderer above, as a fixture: `texture(size_wh, seed)`."""
    return textured


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for another program for 0.1 seconds, not 5."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.1))


@pytest.fixture
def picture() -> np.ndarray:
    return textured()


@pytest.fixture(scope="session")
def tiny():
    """The shipped backbone, loaded once."""
    from dift_geo.backends.loader import load_backend

    return load_backend("tiny")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A real browser; skips where there is none."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def data() -> Path:
    """Research images, here or in $DIFT_GEO_DATA: they are not ours to ship."""
    folder = Path(os.environ.get("DIFT_GEO_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no research data at {folder}; set DIFT_GEO_DATA")
    return folder


@pytest.fixture(scope="session")
def pipeline_module() -> Callable[[str], ModuleType]:
    """Import a file of pipelines/, which is no package."""

    def load(name: str) -> ModuleType:
        folder = str(ROOT / "pipelines")
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec = importlib.util.spec_from_file_location(name, ROOT / "pipelines" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules.get(name) or importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load
