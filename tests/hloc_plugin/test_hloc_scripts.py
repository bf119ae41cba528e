"""pipelines/hloc_sfm.py and pipelines/hloc_routes.py, on copies of hloc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

from dift_geo import FeatureStore, read_image
from dift_geo.images import write_image
from dift_geo.pairs.choose import stored_pairs
from hloc_plugin.copies import NAMES, run_hloc


def test_the_script_of_hlocs_users_runs_with_our_features(
    hloc_folder: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "small").mkdir()
    for name in NAMES[:2]:  # hloc's default of 4096 keypoints is for larger ones
        write_image(tmp_path / "small" / name, read_image(photos / name)[::3, ::3])
    arguments = [str(tmp_path / "small"), str(tmp_path)]
    folders = (str(hloc_folder), str(ROOT), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    script = [sys.executable, str(ROOT / "pipelines" / "hloc_sfm.py"), *arguments]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=200)
    with FeatureStore(tmp_path / "feats-dift+rootsift-tiny-sift-n8192-r1600.h5") as store:
        assert list(store) == NAMES[:2]
    assert (
        len(stored_pairs(NAMES[:2], next(tmp_path.glob("*_matches-dift-mnn-ratio.9_pairs.h5"))))
        == 1
    )
    # the wheel's hloc is older than pycolmap 4 and reconstructs nothing; two small photos need not
    # give a model either
    said = done.stdout + done.stderr
    assert (
        "images registered" in said
        or "hloc found no model" in said
        or "hloc/triangulation.py" in said
    ), said


def test_the_table_of_routes(hloc_folder: Path, photos: Path, tmp_path: Path) -> None:
    script = [
        str(ROOT / "pipelines" / "hloc_routes.py"),
        str(photos),
        str(tmp_path),
        "--hloc",
        str(hloc_folder),
    ]
    flags = ["--descriptor", "rootsift", "--max-keypoints", "300", "--only", "triangulate"]
    rows = run_hloc(hloc_folder, *script, *flags).splitlines()
    upstream = "DIFT_GEO_HLOC" in os.environ and hloc_folder == Path(os.environ["DIFT_GEO_HLOC"])
    assert ("| works with fix |" if upstream else "| cannot |") in rows[-1]
    assert list(json.loads((tmp_path / "routes.json").read_text())) == ["triangulate"]
