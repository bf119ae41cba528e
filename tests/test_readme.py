"""The README's Python runs as it stands, on pictures with the names it uses."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from dift_geo.images import EXTENSIONS, write_image

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCKS = (
    re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    if README.is_file()
    else []
)


def place_pictures(folder: Path, code: str, image: np.ndarray) -> list[str]:
    """Every picture file that the code names: views of one image, each turned and shifted a little
    more.
    """
    names = sorted(
        name
        for name in set(re.findall(r"""["']([^"'\n]+)["']""", code))
        if Path(name).suffix.lower() in EXTENSIONS
    )
    h, w = image.shape[:2]
    for i, name in enumerate(names):
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), 6.0 * i, 1.0) + np.array(
            [[0, 0, 4 * i], [0, 0, 3 * i]]
        )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, cv2.warpAffine(image, turn, (w, h)))
    return names


@pytest.mark.skipif(not BLOCKS, reason="the README has no Python yet")
@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_python_of_the_readme_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: np.ndarray
) -> None:
    place_pictures(tmp_path, block, picture)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    if "homography" in names:
        assert names["homography"] is not None
        assert names["homography"].inliers.sum() > 20


def test_pictures_are_placed_by_name(tmp_path: Path, picture: np.ndarray) -> None:
    code = "image0 = read_image('a/one.jpg'); two = read_image(\"two.png\"); load_backend('tiny')"
    assert place_pictures(tmp_path, code, picture) == ["a/one.jpg", "two.png"]
    assert (tmp_path / "a/one.jpg").is_file()
