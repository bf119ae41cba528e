"""What can be asked of a reconstruction: its pairs, its cameras, its mapping. Makes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dift_geo.colmap.cameras import (
    CameraMode,
    Intrinsics,
    check_intrinsics,
)
from dift_geo.colmap.intrinsics import AUTO, first_model
from dift_geo.colmap.lenses import free_cameras
from dift_geo.colmap.mapping import MapperName
from dift_geo.colmap.verification import VERIFY_PX, Verification
from dift_geo.errors import InputError
from dift_geo.options import check_ranges, option
from dift_geo.pairing import PairOptions, find_pairs
from dift_geo.pairs.choose import PAIRS_BY_WORD, choose_pairs
from dift_geo.pairs.lists import read_pairs
from dift_geo.pairs.words import parse_how
from dift_geo.types import Pair

__all__ = ["SfmOptions"]


@dataclass(frozen=True, kw_only=True)
class SfmOptions:
    """What can be asked of a reconstruction, once features are extracted and matched.

    Raises InputError for an unknown word or a number out of range.

    intrinsics: known cameras, from `read_intrinsics`; they start from the given parameters.
    choice: pairs by words as `retrieval:20`, instead of `pairs`.
    """

    pairs: str | None = option(
        None,
        "exhaustive, sequential or a pairs file; default: what given matches hold, else exhaustive",
        metavar="HOW",
    )
    overlap: int = option(
        10, "images ahead that each is matched with, for sequential pairs", metavar="N", least=1
    )
    camera_mode: CameraMode = option("auto", "which images share a camera")
    camera_model: str = option(
        AUTO, "of COLMAP; auto: SIMPLE_RADIAL, made finer when the model stands", metavar="MODEL"
    )
    mapper: MapperName = option("incremental", "COLMAP's mapper; global is GLOMAP")
    verify_px: float = option(
        VERIFY_PX, "how far a match may lie from the geometry of its pair", metavar="PX", above=0
    )
    min_inliers: int = option(15, "matches of a pair that have to agree", metavar="N", least=1)
    min_inlier_ratio: float = option(0.0, "share of them that has to", least=0, most=1)
    seed: int = option(0, "of RANSAC and of the mapper's first attempt")
    threads: int = option(
        1,
        "of the mapper; with one, the same seed gives the same model; 0 takes all processors",
        metavar="N",
        least=0,
    )
    intrinsics: Intrinsics | None = None
    choice: PairOptions = PairOptions()

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.pairs is not None and self.choice.how:
            raise InputError("--pairs and --how both say which pairs to match; give one of them")

    @property
    def verification(self) -> Verification:
        """What makes a pair a verified one."""
        return Verification(
            max_error_px=self.verify_px,
            min_inliers=self.min_inliers,
            min_inlier_ratio=self.min_inlier_ratio,
        )

    def recipe(self) -> dict[str, object]:
        """What determines the model of given features and matches, for `summary.json`."""
        how = list(self.choice.how)  # as JSON has it
        return asdict(self) | {"choice": asdict(self.choice) | {"how": how} if how else None}

    def choose_pairs(
        self,
        names: Sequence[str],
        left_out: Collection[str] = (),
        *,
        features: str | Path | None = None,
        images: str | Path | None = None,
    ) -> list[Pair]:
        """The pairs of the named images that are to be matched.

        left_out: images that could not be read; a file of pairs may name them all the same.
        features: their features store.
        images: the folder of the photos.
        """
        if self.choice.how:
            return find_pairs(
                names, self.choice, features=features, images=images, left_out=left_out
            )
        how = self.pairs or "exhaustive"
        return choose_pairs(names, how, self.overlap, left_out=left_out)

    def given_files(self) -> list[str]:
        """Files that the user handed over: lists of pairs, global descriptors."""
        listed = [] if self.pairs in (None, *PAIRS_BY_WORD) else [str(self.pairs)]
        return [*listed, *self.choice.given_files()]

    @property
    def pairs_word(self) -> str:
        """How pairs are chosen, for messages."""
        return " ".join(self.choice.how) or self.pairs or "exhaustive"

    def check_pairs(self, names: Sequence[str]) -> None:
        """Refuse, before any work, lists that do not fit the images and words without a source."""
        self.choice.check(features=True, images=True)
        if not self.choice.how:
            self.choose_pairs(names)
        for path in (how.path for how in parse_how(self.choice.how)):
            if path is not None:
                read_pairs(path, names)

    def free_cameras(self, database: str | Path) -> frozenset[int]:
        """Ids of the cameras of a database that may become finer than they began."""
        return free_cameras(database, self.intrinsics) if self.camera_model == AUTO else frozenset()

    def check(self, names: Iterable[str]) -> None:
        """Refuse cameras that COLMAP does not have, and intrinsics of none of the named photos.

        Raises InputError.
        """
        first_model(self.camera_model)
        check_intrinsics(self.intrinsics or {}, names)
