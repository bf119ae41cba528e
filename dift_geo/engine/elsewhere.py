"""An extractor that is loaded where it is used, and not where the work is given out.

A machine without GPU can so give work to those that have one, weights are read from a disk near
them, and no model travels. Knows no engine in particular.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.steps import Extracts
from dift_geo.errors import RecipeError
from dift_geo.extractor import Extractor, ExtractorOptions
from dift_geo.recipe import as_json, differences
from dift_geo.turned import Straighten
from dift_geo.types import Features, Turn

__all__ = ["Elsewhere", "extractor_for"]


class Elsewhere:
    """An extractor of these options, which travels as them."""

    def __init__(self, options: ExtractorOptions, recipe: Mapping[str, object]) -> None:
        """recipe: what determines the features, as `of` asks for it."""
        self._options, self._recipe = options, recipe
        self._extractor: Extractor | None = None

    @classmethod
    def of(cls, options: ExtractorOptions, engine: Engine) -> Elsewhere:
        """Have a worker load it and say its recipe. Raises what `ExtractorOptions.build` raises."""
        with closing(engine.map(_recipe_of, [options])) as asked:
            return cls(options, next(asked))

    def extract(
        self,
        image: NDArray[np.uint8],
        name: str,
        *,
        mask: NDArray[np.bool_] | None = None,
        turn: Turn | None = None,
    ) -> Features:
        """As `Extractor.extract`.

        Raises RecipeError where what is loaded here is not what the recipe says.
        """
        if self._extractor is None:
            made = self._options.build()
            found, expected = as_json(made.recipe()), as_json(self._recipe)
            if found != expected:
                raise RecipeError(
                    "a machine would make other features than the first one: "
                    f"{'; '.join(differences(found, expected))}. "
                    "Give all machines the same packages and weights"
                )
            self._extractor = made
        return self._extractor.extract(image, name, mask=mask, turn=turn)

    def recipe(self) -> Mapping[str, object]:
        """What determines the features."""
        return self._recipe

    @property
    def straighten(self) -> Straighten | None:
        """As the options say."""
        return self._options.straightening

    def __reduce__(self) -> tuple[type[Elsewhere], tuple[ExtractorOptions, Mapping[str, object]]]:
        return type(self), (self._options, self._recipe)


def extractor_for(engine: Engine, options: ExtractorOptions, device: str) -> Extracts:
    """What to give `extract_images` beside an engine: loaded here, where the work is done here.

    device: what that of the options means there.
    """
    if isinstance(engine, Local):
        return options.build()
    return Elsewhere.of(replace(options, device=device), engine)


def _recipe_of(options: ExtractorOptions) -> Mapping[str, object]:
    return options.build().recipe()
