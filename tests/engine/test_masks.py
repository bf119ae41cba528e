"""Masks in COLMAP's convention: no keypoint on black, and the mask belongs to what is finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counting import CountingExtractor

from dift_geo.engine.loops import extract_images
from dift_geo.errors import InputError, NotAFolderError
from dift_geo.extractor import Extractor, ExtractorOptions
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.types import Features

NAMES = ["a.png", "sub/b.jpg"]


class Watched:
    """An extractor that remembers what it was asked for."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.asked = extractor, []

    def extract(self, image: np.ndarray, name: str, *, mask=None) -> Features:
        self.asked.append(name)
        return self.extractor.extract(image, name, mask=mask)

    def recipe(self) -> dict[str, object]:
        return self.extractor.recipe()


@pytest.fixture
def watched() -> Watched:
    return Watched(ExtractorOptions(descriptor="rootsift", size=200).build())


@pytest.fixture
def photos(tmp_path: Path, picture: np.ndarray) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in NAMES:
        write_image(tmp_path / "photos" / name, picture)
    return tmp_path / "photos"


@pytest.fixture
def masks(tmp_path: Path, picture: np.ndarray) -> Path:
    """A mask of the second photo, which wants its left part; the first has none."""
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    mask = np.zeros(picture.shape, np.uint8)
    mask[:, :150] = 255
    write_image(tmp_path / "masks" / "sub" / "b.jpg.png", mask)
    return tmp_path / "masks"


def stored(path: Path) -> dict[str, Features]:
    with FeatureStore(path) as store:
        return {name: store[name] for name in store}


def test_keypoints_on_black_are_dropped(
    photos: Path, masks: Path, watched: Watched, tmp_path: Path
) -> None:
    extract_images(photos, NAMES, watched, tmp_path / "all.h5")
    extract_images(photos, NAMES, watched, tmp_path / "f.h5", masks=masks)
    whole, kept = stored(tmp_path / "all.h5"), stored(tmp_path / "f.h5")
    assert kept["a.png"].keypoints.xy.tolist() == whole["a.png"].keypoints.xy.tolist()
    xy = whole["sub/b.jpg"].keypoints.xy
    left = xy[:, 0].round() < 150
    assert 0 < left.sum() < len(xy)
    np.testing.assert_array_equal(kept["sub/b.jpg"].keypoints.xy, xy[left])
    np.testing.assert_array_equal(
        kept["sub/b.jpg"].descriptors, whole["sub/b.jpg"].descriptors[left]
    )


def test_a_mask_that_changes_comes_or_goes_is_another_source(
    photos: Path, masks: Path, watched: Watched, tmp_path: Path
) -> None:
    path = tmp_path / "f.h5"

    def extracted(masks: Path | None) -> list[str]:
        watched.asked.clear()
        extract_images(photos, NAMES, watched, path, masks=masks)
        return list(watched.asked)

    assert extracted(masks) == NAMES
    assert extracted(masks) == []
    file = masks / "sub" / "b.jpg.png"
    data = file.read_bytes()
    write_image(file, np.full((240, 320, 3), 255, np.uint8))
    assert extracted(masks) == ["sub/b.jpg"]
    assert extracted(None) == ["sub/b.jpg"]
    assert extracted(None) == []
    file.write_bytes(data)
    assert extracted(masks) == ["sub/b.jpg"]
    (masks / "b.png").write_bytes(data)  # of no photo
    assert extracted(masks) == []
    file.rename(masks / "a.png.png")
    assert extracted(masks) == NAMES


def test_a_black_mask_leaves_nothing_and_the_image_is_named(
    photos: Path, masks: Path, watched: Watched, tmp_path: Path, caplog
) -> None:
    write_image(masks / "sub" / "b.jpg.png", np.zeros((240, 320, 3), np.uint8))
    assert extract_images(photos, NAMES, watched, tmp_path / "f.h5", masks=masks) == []
    assert "no keypoints: sub/b.jpg" in caplog.messages
    assert len(stored(tmp_path / "f.h5")["sub/b.jpg"]) == 0


@pytest.mark.parametrize("strict", [False, True])
def test_a_mask_that_does_not_fit_is_not_ignored(
    photos: Path, masks: Path, watched: Watched, tmp_path: Path, caplog, strict: bool
) -> None:
    write_image(masks / "sub" / "b.jpg.png", np.zeros((120, 160, 3), np.uint8))
    path = tmp_path / "f.h5"
    message = "b.jpg.png is 160 x 120, expected 320 x 240 as sub/b.jpg"
    if strict:
        with pytest.raises(InputError, match=message):
            extract_images(photos, NAMES, watched, path, masks=masks, strict=True)
        return
    assert extract_images(photos, NAMES, watched, path, masks=masks) == ["sub/b.jpg"]
    assert message in caplog.text
    (masks / "sub" / "b.jpg.png").write_bytes(b"no image")
    assert extract_images(photos, NAMES, watched, path, masks=masks) == ["sub/b.jpg"]


def test_a_folder_of_masks_that_is_not_there(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAFolderError, match=r"none is not a folder; expected a folder of masks"):
        extract_images(
            photos, NAMES, CountingExtractor(), tmp_path / "f.h5", masks=tmp_path / "none"
        )
    assert not (tmp_path / "f.h5.lock").exists()


def test_masks_of_other_photos_are_not_ignored(
    photos: Path, masks: Path, watched: Watched, tmp_path: Path
) -> None:
    """Named otherwise, most likely: `b.png` for `b.jpg`."""
    (masks / "sub" / "b.jpg.png").rename(masks / "sub" / "b.png")
    with pytest.raises(
        InputError, match=r"masks holds no mask of any of the 2 images, expected .*a.png.png"
    ):
        extract_images(photos, NAMES, watched, tmp_path / "f.h5", masks=masks)
    assert watched.asked == []
