"""One family of errors, each also the built-in exception of its kind."""

from __future__ import annotations

import pickle

import pytest

from dift_geo import errors

CHILDREN = [getattr(errors, name) for name in errors.__all__ if name != "DiftGeoError"]


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.__name__)
def test_the_command_line_catches_all_by_one_class(child) -> None:
    assert issubclass(child, errors.DiftGeoError)


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.__name__)
def test_the_message_is_shown_as_it_was_written(child) -> None:
    """`KeyError` would put it in quotation marks."""
    assert str(child("got 'a', expected 'b'")) == "got 'a', expected 'b'"


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.__name__)
def test_errors_come_back_from_another_process(child) -> None:
    back = pickle.loads(pickle.dumps(child("one sentence")))
    assert type(back) is child
    assert str(back) == "one sentence"


@pytest.mark.parametrize(
    ("child", "kind"),
    [
        (errors.InputError, ValueError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.NotAFolderError, NotADirectoryError),
        (errors.MissingNameError, KeyError),
        (errors.MissingPackageError, ImportError),
        (errors.WriteError, OSError),
        (errors.NoModelError, RuntimeError),
        (errors.RecipeError, RuntimeError),
        (errors.WorkersError, RuntimeError),
    ],
)
def test_code_that_catches_the_builtin_goes_on_working(child, kind) -> None:
    with pytest.raises(kind):
        raise child("why")
