"""What can be asked of the way in which labels are carried through a video; plain data.

Knows no model: where nothing is asked, a mapper's own settings hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dift_geo.backends.tasks import Propagation
from dift_geo.options import check_ranges, option, option_names

__all__ = ["PropagationOptions"]


@dataclass(frozen=True, kw_only=True)
class PropagationOptions:
    """The fields of `Propagation` that a user may set, None where it is as suits the model.

    Raises InputError for a number out of range.
    """

    top_k: int | None = option(
        None, "most similar cells whose labels are averaged", metavar="K", least=1
    )
    radius: int | None = option(
        None, "cells farther away do not count; 0 counts all", metavar="CELLS", least=0
    )
    frames: int | None = option(
        None, "last frames looked at, beside the first", metavar="N", least=0
    )
    temperature: float | None = option(
        None, "weights are exp(cosine / temperature)", metavar="T", least=0.001
    )
    short_side: int | None = option(
        None, "pixels of the short side of what the model sees", metavar="PX", least=16
    )

    def __post_init__(self) -> None:
        check_ranges(self)

    def changed(self, usual: Propagation) -> Propagation:
        """The settings with what was asked for."""
        own = {name: getattr(self, name) for name in option_names(self)}
        return replace(usual, **{name: value for name, value in own.items() if value is not None})
