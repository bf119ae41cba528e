"""Everything that dift-geo refuses or cannot do, as one family: the command line catches it whole.

Each child is also the built-in exception of its kind, so that `except ValueError` and the like go
on working. A message is one sentence: what was got, what was expected, what to do. Knows nothing
else.
"""

from __future__ import annotations

__all__ = [
    "DiftGeoError",
    "InputError",
    "MissingFileError",
    "MissingNameError",
    "MissingPackageError",
    "NoAnswerError",
    "NoModelError",
    "NotAFolderError",
    "RecipeError",
    "StoreError",
    "WorkersError",
    "WriteError",
]


class DiftGeoError(Exception):
    """The parent of all."""


class InputError(DiftGeoError, ValueError):
    """A value, an array or the content of a file is not what it should be."""


class MissingFileError(DiftGeoError, FileNotFoundError):
    """A file or the weights of a model are not there."""


class NotAFolderError(DiftGeoError, NotADirectoryError):
    """A folder was expected."""


class MissingNameError(DiftGeoError, KeyError):
    """A name is not among those that are known."""

    def __str__(self) -> str:
        """The message itself; a `KeyError` would show it in quotation marks."""
        return str(self.args[0]) if self.args else ""


class MissingPackageError(DiftGeoError, ModuleNotFoundError):
    """An optional package is not installed."""


class WriteError(DiftGeoError, OSError):
    """A file cannot be written."""


class NoAnswerError(DiftGeoError, RuntimeError):
    """The work was done and there is no result, such as matches that fit no homography."""


class NoModelError(NoAnswerError):
    """COLMAP found no model; the message says how far the data went."""


class StoreError(DiftGeoError, RuntimeError):
    """A store that is not what it should be, or that another process is writing."""


class WorkersError(DiftGeoError, RuntimeError):
    """Processes or machines that should do the work cannot."""


class RecipeError(StoreError):
    """A store was made with other settings than the ones asked for."""
