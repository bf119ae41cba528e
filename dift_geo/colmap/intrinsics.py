"""Known intrinsics in COLMAP's terms: read from a file, checked, and told apart by image names.

Knows neither photos nor features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.errors import InputError
from dift_geo.pairs.text import numbered_lines, plain_name, similar_name

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "AUTO",
    "FIRST",
    "Intrinsics",
    "check_camera_models",
    "check_intrinsics",
    "first_model",
    "intrinsics_of",
    "read_intrinsics",
]

Intrinsics = dict[str, tuple[str, list[float]]]  # COLMAP's model and parameters, by image name
EVERY_OTHER = "*"
# what cameras begin with where nobody says; what becomes of it when the model stands, `lenses` says
AUTO, FIRST = "auto", "SIMPLE_RADIAL"


def read_intrinsics(path: str | Path) -> Intrinsics:
    """Known intrinsics: lines `IMAGE_NAME MODEL PARAMS...` in COLMAP's terms; # starts a comment.

    The name `*` is every other image, for instance `* PINHOLE 1379.7 1382.1 760.6 503.7`. Names may
    hold spaces, and stand in quotation marks where they begin with #.

    Raises MissingFileError where there is no file and InputError naming the line that does not fit.
    """
    known: Intrinsics = {}
    for number, line in numbered_lines(path):
        if line.lstrip().startswith("#"):
            continue
        place = f"{path}:{number}"
        found = _split(line)
        if found is None:
            raise InputError(
                f"{place}: {line.strip()!r}, expected `IMAGE_NAME MODEL PARAMS...` with a COLMAP "
                "model"
            )
        name, model, params = found
        if name in known:
            raise InputError(f"{place}: {name!r} for the second time, expected each image once")
        _check_camera(place, model, params)
        known[name] = model, params
    if not known:
        raise InputError(f"{path} holds no camera, expected lines `IMAGE_NAME MODEL PARAMS...`")
    return known


def check_intrinsics(intrinsics: Intrinsics, names: Iterable[str] | None = None) -> None:
    """Refuse cameras that COLMAP does not have or that cannot be, and names that no photo has.

    names: of the photos; None does not look at names. Cameras of photos that are not among them
        pass where others fit, unless their name is that of a photo in other letters.

    Raises InputError.
    """
    for name, (model, params) in intrinsics.items():
        check_camera_models([model])
        _check_camera(f"intrinsics of {name!r}", model, params)
    if names is None:
        return
    photos = set(names)
    strangers = [name for name in intrinsics if name not in photos and name != EVERY_OTHER]
    for name in strangers:
        meant = similar_name(name, photos)
        if meant is not None:
            raise InputError(
                f"intrinsics are given for {name!r}, which is none of the {len(photos)} photos; "
                f"is {meant!r} meant? Give the name as it is below the folder of photos"
            )
    if strangers and len(strangers) == len(intrinsics):
        raise InputError(
            f"intrinsics are given for {strangers[0]!r}, which is none of the {len(photos)} photos "
            f"such as {min(photos, default='')!r}; expected names as they are below the folder"
        )


def intrinsics_of(intrinsics: Intrinsics | None, name: str) -> tuple[str, Sequence[float]] | None:
    """COLMAP's model and parameters of an image; None where they are not known."""
    known = intrinsics or {}
    return known.get(name) or known.get(EVERY_OTHER)


def first_model(asked: str) -> str:
    """The camera model that a database begins with.

    Raises InputError for a word that is neither `auto` nor a camera model of COLMAP.
    """
    if asked == AUTO:
        return FIRST
    check_camera_models([asked])
    return asked


def check_camera_models(models: Iterable[str]) -> None:
    """Raise InputError for the first word that is no camera model of COLMAP."""
    known = _models()
    for model in models:
        if model not in known:
            raise InputError(f"camera_model is {model!r}, expected one of {', '.join(known)}")


def _models() -> list[str]:
    import pycolmap

    return [name for name in pycolmap.CameraModelId.__members__ if name != "INVALID"]


def _split(line: str) -> tuple[str, str, list[float]] | None:
    """Name, model and parameters: the model is the last one that has numbers alone behind it."""
    models = set(_models())
    text = _uncommented(line.strip(), models)
    words = text.split()
    for place in reversed(range(1, len(words))):
        if words[place] in models:
            try:
                params = [float(word) for word in words[place + 1 :]]
            except ValueError:
                return None
            # the name as it was written, with all its spaces
            name = text.rsplit(None, len(words) - place)[0]
            return (name if name == EVERY_OTHER else plain_name(name)), words[place], params
    return None


def _uncommented(text: str, models: set[str]) -> str:
    """Without what # begins behind the parameters; in a name it is a letter like others."""
    words = text.split()
    for place in range(3, len(words)):
        if words[place].startswith("#") and models.intersection(words[1:place]):
            return text.rsplit(None, len(words) - place)[0]
    return text


def _check_camera(place: str, model: str, params: Sequence[float]) -> None:
    """Refuse numbers that no camera of this model has. `place` is where they come from."""
    camera = _camera(model)
    expected = len(camera.params)
    if len(params) != expected:
        sized = "; leave out width and height" if len(params) == expected + 2 else ""
        raise InputError(
            f"{place}: {model} got {len(params)} parameters, expected {expected}{sized}"
        )
    if not all(math.isfinite(value) for value in params):
        raise InputError(f"{place}: {model} got {list(params)}, expected finite numbers")
    positive = [*camera.focal_length_idxs(), *camera.principal_point_idxs()]
    for index in positive:
        if params[index] <= 0:
            names = str(camera.params_info).replace(" ", "").split(",")
            raise InputError(
                f"{place}: {model} got {names[index]} = {params[index]:g}, expected pixels above 0"
            )


def _camera(model: str) -> pycolmap.Camera:
    import pycolmap

    return pycolmap.Camera.create_from_model_name(1, model, 1.0, 1, 1)
