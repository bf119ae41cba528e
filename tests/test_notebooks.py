"""Every notebook runs from top to bottom, and is stored without outputs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel() -> Iterator[object]:
    """A kernel for all notebooks, because a start of torch takes longer than most of them."""
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    manager = pytest.importorskip("jupyter_client.manager", reason="jupyter is not installed")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "PYTHONPATH": path,
        "MPLBACKEND": "agg",
        "DIFT_GEO_KEYPOINTS": "40",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel = manager.KernelManager(kernel_name="python3")
        kernel.start_kernel(cwd=str(ROOT / "notebooks"), env=environment)
        yield kernel
        kernel.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, kernel: object) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    with warnings.catch_warnings():
        # of the kernel's own machinery (sockets, event loops), not of what it runs
        warnings.simplefilter("ignore")
        nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
        book = nbformat.read(path, as_version=4)
        book.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # names of the one before
        client = nbclient.NotebookClient(book, km=kernel, timeout=240)
        client.execute()
        client.kc.stop_channels()


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
