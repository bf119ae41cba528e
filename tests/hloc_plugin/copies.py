"""Copies of hloc that the tests run, in processes of their own, as its users run it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

NAMES = ["view_0.png", "view_1.png", "view_2.png"]
KEYPOINTS = 100

# extraction, pairs and matching by hloc's own functions, with our configurations
MAIN = """
import json, sys
from pathlib import Path
from dift_geo.hloc_plugin import register

images, out, keypoints = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
register()
from hloc import extract_features, match_features, pairs_from_exhaustive

conf = extract_features.confs["dift-tiny-sift"]
conf["model"]["max_keypoints"] = keypoints
features = extract_features.main(conf, images, out)
pairs = out / "pairs.txt"
pairs_from_exhaustive.main(pairs, features=features)
matches = match_features.main(match_features.confs["dift-mnn"], pairs, conf["output"], out)
print(json.dumps([str(features), str(matches)]))
"""


def hloc_folders() -> dict[str, Path | None]:
    """Where an `import hloc` would find it: in the wheel's folder of borrowed code, and in a clone
    of upstream.
    """
    wheel = importlib.util.find_spec("deep_image_matching")
    folders: dict[str, Path | None] = {
        "wheel": Path(wheel.origin).parent / "thirdparty" if wheel and wheel.origin else None
    }
    if "DIFT_GEO_HLOC" in os.environ:
        folders["upstream"] = Path(os.environ["DIFT_GEO_HLOC"])
    return folders


def run_hloc(folder: Path, *arguments: str) -> str:
    """Run Python with hloc on the path; its output."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
