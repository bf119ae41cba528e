"""hloc as the tests meet it: real copies, and a stub that has the parts the plugin touches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hloc_plugin.copies import hloc_folders

STUB = {
    "utils/base_model.py": """
import torch
class BaseModel(torch.nn.Module):
    def __init__(self, conf):
        super().__init__()
        self.conf = conf
        self._init(conf)
    def forward(self, data):
        return self._forward(data)
""",
    "extract_features.py": 'confs = {"sift": {}}',
    "match_features.py": 'from . import logger\nconfs = {"NN-mutual": {}}\nprint_something = 1',
    "triangulation.py": """
import pycolmap
def write(**fields):
    return pycolmap.TwoViewGeometry(**fields)
""",
}


@pytest.fixture(scope="session", params=sorted(hloc_folders()))
def hloc_folder(request: pytest.FixtureRequest) -> Path:
    """A folder in which `import hloc` finds it."""
    folder = hloc_folders()[request.param]
    if folder is None:
        pytest.skip(
            "no deep-image-matching 1.2.4, whose wheel carries hloc; `make setup` installs it "
            "without its dependencies"
        )
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, pipeline_module) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pipeline_module("rendered_scene").write_scene(folder, views=3, size_wh=(480, 360))
    return folder


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with the parts of hloc that the plugin touches, and its import name."""
    root = tmp_path / "stub_of_hloc"
    for folder in ("", "utils", "extractors", "matchers"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").touch()
    for file, text in STUB.items():
        (root / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "stub_of_hloc"
    for name in [name for name in sys.modules if name.split(".")[0] == "stub_of_hloc"]:
        del sys.modules[name]
