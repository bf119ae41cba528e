"""What is checked before COLMAP gets it: features belong to photos of their size, and lie on them.

COLMAP checks neither: features of a smaller copy give a model with a false focal length.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dift_geo.colmap.photos import photo_size
from dift_geo.errors import InputError
from dift_geo.store.features import FeatureStore
from dift_geo.types import Keypoints

__all__ = ["check_inside", "check_photos", "check_size"]

MARGIN_PX = 3.0  # detectors that refine a place may put it a little outside


def check_photos(images: str | Path, features: FeatureStore, names: Iterable[str]) -> None:
    """Refuse features of pictures of other sizes than the photos.

    Files of other programs that do not say the size pass.

    Raises MissingFileError where there is no photo, and InputError.
    """
    for name in names:
        check_size(name, features, photo_size(Path(images) / name), f"the photo in {images}")


def check_size(name: str, features: FeatureStore, size_wh: tuple[int, int], owner: str) -> None:
    """Refuse features of a picture of another size. `owner` is who has this size, for the message.

    Raises InputError.
    """
    found = features.size_wh(name)
    if found is None or found == size_wh:
        return
    turned = " (it is turned)" if found == size_wh[::-1] else ""
    raise InputError(
        f"features of {name!r} in {features.path} are of a picture of {found[0]} x {found[1]} "
        f"pixels, but {owner} has {size_wh[0]} x {size_wh[1]}{turned}; extract them from these "
        "photos, or give the photos that they were made of"
    )


def check_inside(name: str, keypoints: Keypoints, size_wh: tuple[int, int]) -> None:
    """Refuse keypoints outside of a picture of this size.

    Raises InputError.
    """
    last = np.array(size_wh) - 1
    beyond = np.maximum(-keypoints.xy, keypoints.xy - last).max(axis=1, initial=0)
    if (beyond > MARGIN_PX).any():
        x, y = keypoints.xy[int(beyond.argmax())]
        raise InputError(
            f"{int((beyond > MARGIN_PX).sum())} of {len(keypoints)} keypoints of {name!r} lie "
            f"outside of its {size_wh[0]} x {size_wh[1]} pixels, such as ({x:.1f}, {y:.1f}); "
            "extract features from these photos"
        )
