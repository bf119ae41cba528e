"""DIFT inside hloc: `register()` makes hloc find our extractor, our matcher and their
configurations.

hloc loads a model as `<package>.extractors.<name>`; our files join that package by its search path,
so that hloc's own loops, files and command lines run unchanged. Importing this module does nothing;
hloc is imported by `register` alone.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from types import ModuleType

from dift_geo.errors import MissingPackageError
from dift_geo.hloc_plugin.confs import extractor_confs, matcher_confs

__all__ = ["extractor_confs", "matcher_confs", "register", "repair_two_view_config"]

HERE = Path(__file__).parent


def register(package: str = "hloc", fix_two_view_config: bool = False) -> None:
    """Make `dift` an extractor and a matcher of the hloc at `package`, and add our named
    configurations to its lists.

    May be called again.

    package: where hloc lives: `hloc`, or a copy of it inside another package (`imcui.hloc`).
    fix_two_view_config: also call `repair_two_view_config`.
    Raises ModuleNotFoundError when there is no hloc at `package`.
    """
    root = _import(package)
    # deep-image-matching's copy lost it, and its match_features imports it
    if not hasattr(root, "logger"):
        vars(root)["logger"] = logging.getLogger(package)
    for kind in ("extractors", "matchers"):
        path = _import(f"{package}.{kind}").__path__
        if str(HERE / kind) not in path:
            path.append(str(HERE / kind))
    _import(f"{package}.extract_features").confs.update(extractor_confs())
    _import(f"{package}.match_features").confs.update(matcher_confs())
    if fix_two_view_config:
        repair_two_view_config(package)


def repair_two_view_config(package: str = "hloc") -> None:
    """Let hloc's unverified and pose-verified matches count again under pycolmap 4.

    hloc writes them as two-view geometries without a configuration, which pycolmap 4 passes over
    without a word: `reconstruction.main(skip_geometric_verification=True)` finds no model and
    `triangulation.main` no point. From here on the hloc at `package` writes CALIBRATED where it
    names inliers and no configuration; pycolmap itself is not changed.
    """
    names = vars(_import(f"{package}.triangulation"))
    if not isinstance(names["pycolmap"], _WithTwoViewConfig):
        names["pycolmap"] = _WithTwoViewConfig(names["pycolmap"])


class _WithTwoViewConfig(ModuleType):
    """pycolmap as one module sees it: everything passes through but `TwoViewGeometry`."""

    def __init__(self, pycolmap: ModuleType) -> None:
        super().__init__(pycolmap.__name__, pycolmap.__doc__)
        self.__wrapped__ = pycolmap

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["__wrapped__"], name)

    def TwoViewGeometry(self, *args: object, **fields: object) -> object:
        pycolmap = self.__wrapped__
        if "inlier_matches" in fields:
            fields.setdefault("config", pycolmap.TwoViewGeometryConfiguration.CALIBRATED)
        return pycolmap.TwoViewGeometry(*args, **fields)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # hloc is there and misses something of its own
        raise MissingPackageError(
            f"no {name} to plug into; install hloc "
            "(git clone https://github.com/cvg/Hierarchical-Localization, pip install -e) "
            "or name the package that holds a copy of it",
            name=error.name,
        ) from error
