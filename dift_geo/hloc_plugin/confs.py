"""hloc's configurations of our extractor and matcher, and what they mean to us.

A configuration's `model` takes the fields of `ExtractorOptions` or `MatchOptions` and nothing else.
Knows nothing of hloc's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from dift_geo.detectors.loader import DETECTORS, KINDS, SIFT
from dift_geo.errors import InputError
from dift_geo.extractor import ExtractorOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["extractor_confs", "matcher_confs", "options_of"]

T = TypeVar("T", bound="DataclassInstance")
Conf = dict[str, Any]  # as hloc writes them: output, model, preprocessing
# pixels; one dense map of a large backbone must fit the memory
LONGEST_SIDE = {"tiny": 1600, "sd2.1": 1024, "adm": 1024}


def options_of(cls: type[T], model: Mapping[str, Any], **defaults: object) -> T:
    """The options in the `model` of a configuration; hloc's own `name` is passed over.

    defaults: of fields that the configuration leaves out.
    Raises InputError for a field that the options do not have, and what the options refuse.
    """
    settings = {field: value for field, value in model.items() if field != "name"}
    known = {field.name for field in fields(cls)}
    if unknown := sorted(settings.keys() - known):
        raise InputError(
            f"unknown {'settings' if len(unknown) > 1 else 'setting'} {', '.join(unknown)}, "
            f"expected {', '.join(sorted(known))}"
        )
    return cls(**{**defaults, **settings})


def extractor_confs() -> dict[str, Conf]:
    """What `register` adds to `extract_features.confs`: `dift-tiny-sift` and its like, by name."""
    confs = {}
    for backend in LONGEST_SIDE:
        for detector in DETECTORS:
            confs[f"dift-{backend}-{detector}"] = _extractor_conf(backend, detector)
    return confs


def _extractor_conf(backend: str, detector: str) -> Conf:
    longest = LONGEST_SIDE[backend]
    suited = ExtractorOptions.for_models(backend=backend, detector=detector)
    model: Conf = {"name": "dift", "backend": backend, "detector": detector}
    for field in SIFT:
        if vars(suited)[field] not in (None, "default"):
            model[field] = vars(suited)[field]
    if not KINDS[detector].oriented:
        model["reading"] = "dense"
    return {
        "output": f"feats-{suited.descriptor}-{backend}-{detector}"
        f"-n{suited.max_keypoints}-r{longest}",
        "model": model,
        "preprocessing": {"grayscale": False, "resize_max": longest},
    }


def matcher_confs() -> dict[str, Conf]:
    """What `register` adds to `match_features.confs`: mutual nearest neighbours, without and with a
    ratio test.
    """
    return {
        "dift-mnn": _matcher_conf("dift-mnn"),
        "dift-mnn-ratio.95": _matcher_conf("dift-mnn-ratio.95", ratio=0.95),
        "dift-mnn-ratio.9": _matcher_conf("dift-mnn-ratio.9", ratio=0.9),
    }


def _matcher_conf(name: str, **options: float) -> Conf:
    return {"output": f"matches-{name}", "model": {"name": "dift", **options}}
