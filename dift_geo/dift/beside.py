"""DIFT alone or with the descriptor of a detector beside it, as words such as dift+rootsift ask.

Knows no word, no file and no detector.
"""

from __future__ import annotations

from typing import Literal

from dift_geo.backends.config import DiftConfig
from dift_geo.backends.contract import Backend
from dift_geo.detectors.contract import Describer
from dift_geo.dift.describer import Dift
from dift_geo.dift.joined import Joined
from dift_geo.dift.projection import Projection

__all__ = ["dift_beside"]


def dift_beside(
    backend: Backend, config: DiftConfig, fitted: Projection | None, beside: Describer | None
) -> Describer:
    """DIFT alone, both through one projection, or both side by side.

    fitted: the user's projection, for DIFT alone or for both; None takes what ships with the model,
        for both where there is one.
    beside: the other descriptor; None is DIFT alone.
    """
    projection: Projection | Literal["auto"] = "auto" if fitted is None else fitted
    if beside is not None and (fitted is None or "beside" in fitted.about):
        both = Dift(backend, config=config, projection=projection, beside=beside)
        if both.projection is not None:
            return both
    dift = Dift(backend, config=config, projection=projection)
    return dift if beside is None else Joined([dift, beside])
