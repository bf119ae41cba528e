"""`dift_geo.foreign` of 0.1, for scripts that import it."""

from collections.abc import Sequence
from pathlib import Path

from dift_geo.benchmark import foreign
from dift_geo.detectors import listed
from dift_geo.detectors.contract import Describer
from dift_geo.dift.joined import Joined
from dift_geo.extractor import Extractor

__all__ = [
    "AtKeypoints",
    "ForeignFeatures",
    "read_keypoint_file",
    "read_npz_features",
    "squared_distance_rows",
]

ForeignFeatures = foreign.ForeignFeatures
read_keypoint_file = listed.read_keypoint_file
read_npz_features = foreign.read_npz_features
squared_distance_rows = foreign.squared_distance_rows


def AtKeypoints(describers: Sequence[Describer], folder: str | Path) -> Extractor:
    """An extractor that describes at the keypoints listed in `folder`: the `listed` detector."""
    describer = describers[0] if len(describers) == 1 else Joined(describers)
    return Extractor(listed.Listed(Path(folder)), describer)
