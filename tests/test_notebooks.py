"""Every notebook runs from top to bottom, and is stored without outputs."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    with warnings.catch_warnings():
        # of the kernel's own machinery (sockets, event loops), not of what it runs
        warnings.simplefilter("ignore")
        nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
        monkeypatch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        )
        monkeypatch.setenv("MPLBACKEND", "agg")
        book = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(
            book, timeout=240, resources={"metadata": {"path": str(path.parent)}}
        ).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    cells = nbformat.read(path, as_version=4).cells
    assert all(
        not cell.outputs and cell.execution_count is None
        for cell in cells
        if cell.cell_type == "code"
    )
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
