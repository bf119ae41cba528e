"""hloc's matcher contract over mutual nearest neighbours.

Loaded by hloc as `<its package>.matchers.dift`, and takes the base class from there. Knows no
files.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.hloc_plugin.confs import options_of
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions

__all__ = ["DiftMatcher"]

# of whichever hloc loads this file
BaseModel: Any = import_module("..utils.base_model", __package__).BaseModel
LARGEST_INDEX = torch.iinfo(torch.int16).max  # of hloc's match files


class DiftMatcher(BaseModel):
    """Mutual nearest neighbours by cosine; settings are the fields of `MatchOptions`."""

    required_inputs = ["descriptors0", "descriptors1"]  # noqa: RUF012 (hloc copies it per instance)

    def _init(self, conf: dict[str, object]) -> None:
        self.options = options_of(MatchOptions, conf)

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """descriptors0 (1, D, N), descriptors1 (1, D, M) -> matches0 (1, N) with -1 for none,
        matching_scores0 (1, N).
        """
        rows0, rows1 = (data[key][0].T for key in ("descriptors0", "descriptors1"))
        if len(rows1) > LARGEST_INDEX + 1:
            raise InputError(
                f"{len(rows1)} keypoints in one image, but hloc stores match indices up to "
                f"{LARGEST_INDEX} (int16); extract fewer or match with `dift-geo match`"
            )
        matches = match(rows0, rows1, self.options, device=rows0.device)
        pairs = torch.from_numpy(matches.pairs).to(rows0.device)
        matches0 = torch.full((1, len(rows0)), -1, dtype=torch.int64, device=rows0.device)
        scores0 = torch.zeros((1, len(rows0)), device=rows0.device)
        matches0[0, pairs[:, 0]] = pairs[:, 1]
        scores0[0, pairs[:, 0]] = torch.from_numpy(matches.scores).to(rows0.device)
        return {"matches0": matches0, "matching_scores0": scores0}
