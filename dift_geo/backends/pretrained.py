"""Models of transformers out of local folders, quietly and whole: the library's bars and notes are
no part of a command's output, and a weight that is not there is an error, where the library draws
one at random and says so in passing.

Knows no model in particular.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch

from dift_geo.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["pretrained"]

Model = TypeVar("Model", bound="PreTrainedModel")

# of no use here: heads over the whole image, and numbers that are counted anew
UNUSED = ("pooler.", "position_ids")


def pretrained(
    kind: type[Model],
    folder: Path,
    *,
    use_safetensors: bool | None = None,
    variant: str | None = None,
) -> Model:
    """The model of a folder in float32.

    kind: its class in transformers.
    use_safetensors, variant: which of its files, as the library says it.
    Raises InputError where weights that the model needs are missing, and whatever the library
    raises for a file that it cannot read.
    """
    with _quiet():
        loaded = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=use_safetensors,
            variant=variant,
            dtype=torch.float32,
            output_loading_info=True,
        )
    model, info = cast("tuple[Model, dict[str, Collection[str]]]", loaded)
    lost = sorted(name for name in info["missing_keys"] if not any(u in name for u in UNUSED))
    if lost:
        raise InputError(
            f"{folder} lacks {len(lost)} weights of {kind.__name__}, {lost[0]} among them; "
            "copy it again, or give the folder of the model itself"
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # deprecations of its own; none concerns the user
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
