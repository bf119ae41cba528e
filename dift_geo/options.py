"""Options: frozen dataclasses whose fields are the one description of what a user can ask for.

Flags of the command line, `NAME:flag=value` words, hloc's configurations and recipes are derived
from the fields declared by `option`. Values out of range are refused when the object is made,
before any work. Knows no option in particular.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dift_geo.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Options = DataclassInstance | type[DataclassInstance]
    Flags = argparse.ArgumentParser | argparse._ArgumentGroup

__all__ = [
    "add_flags",
    "check_ranges",
    "from_words",
    "number",
    "option",
    "option_names",
    "require_at_least",
    "take_flags",
    "take_values",
]

T = TypeVar("T", bound="DataclassInstance")
WIDE = 56  # characters of choices that do not fit beside their flag
BOOL = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def option(
    default: object,
    text: str,
    *,
    metavar: str | None = None,
    choices: Collection[str] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:  # as `dataclasses.field`, so that it can stand for a value of any field
    """A dataclass field that is an option.

    default: its value where nothing is asked for.
    text: what it means, in one line; the help of its flag.
    metavar: what stands for the value in the help; by default the last word of the name.
    choices: the words allowed, where the type is not a `Literal` of them.
    least, most: the range of a number, both included.
    above: the number has to be more than this.
    """
    about = _About(text, metavar, tuple(choices), least, above, most)
    return field(default=default, metadata={"option": about})


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise InputError, by the name, for a value below the least one."""
    if not value >= least:
        raise InputError(f"{name} is {value}, expected at least {least:g}")


def check_ranges(options: DataclassInstance) -> None:
    """Raise InputError for the first option whose value is no choice or out of range."""
    for name, declared in _declared(options).items():
        declared.check(getattr(options, name))


def option_names(cls: Options) -> list[str]:
    """The fields of `cls` declared by `option`, in order."""
    return list(_declared(cls))


def add_flags(
    parser: Flags,
    cls: type[DataclassInstance],
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> None:
    """Add a flag for every option of `cls`.

    parser: of the command, or a group of its flags.
    only: the options that get a flag; None is all.
    without: options that get none.
    defaults: other defaults than the fields' own.
    """
    for name, declared in _declared(cls).items():
        if name in without or (only is not None and name not in only):
            continue
        flag, about = "--" + name.replace("_", "-"), declared.about
        default = (defaults or {}).get(name, declared.default)
        help_text = about.text.replace("%", "%%")
        if declared.kinds == (bool,):
            parser.add_argument(flag, action="store_true", default=default, help=help_text)
            continue
        words = "{" + ",".join(declared.choices) + "}" if declared.choices else None
        if words is not None and len(words) > WIDE:
            help_text, words = f"{help_text}: {', '.join(declared.choices)}", None
        metavar = about.metavar or words or name.rpartition("_")[2].upper()
        parse = partial(_parse_flag, declared)
        parser.add_argument(flag, type=parse, default=default, metavar=metavar, help=help_text)


def number(
    kind: type[int] | type[float],
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Callable[[str], object]:
    """What parses a flag of its own, one that is no field, within the same kinds of range."""
    about = _About("", None, (), least, above, most)
    return partial(_parse_flag, _Declared("it", about, None, (kind,), False, ()))


def take_flags(cls: type[T], flags: MutableMapping[str, Any], **others: object) -> T:
    """Take the options of `cls` out of parsed flags and make the object of them and of `others`."""
    return cls(**{**take_values(cls, flags), **others})


def take_values(cls: type[DataclassInstance], flags: MutableMapping[str, Any]) -> dict[str, Any]:
    """Take the values of the options of `cls` out of parsed flags."""
    return {name: flags.pop(name) for name in option_names(cls) if name in flags}


def from_words(cls: type[DataclassInstance], words: Mapping[str, str]) -> dict[str, Any]:
    """Parse `flag=value` words, dashes or underscores, into values of the fields of `cls`.

    Raises InputError for a name that is no option and for a value of the wrong type.
    """
    declared = _declared(cls)
    found = {}
    for flag, text in words.items():
        name = flag.strip().removeprefix("--").replace("-", "_")
        if name not in declared:
            raise InputError(f"{flag!r} is no option, expected one of {', '.join(declared)}")
        found[name] = declared[name].parse(text)
    return found


@dataclass(frozen=True)
class _About:
    """What `option` was told."""

    text: str
    metavar: str | None
    choices: tuple[str, ...]
    least: float | None
    above: float | None
    most: float | None


@dataclass(frozen=True)
class _Declared:
    """An option as its class declares it.

    kinds: the types of its values but for None: `int | None` gives (int,).
    optional: whether None is a value.
    choices: the words allowed; none where any value of the type is.
    """

    name: str
    about: _About
    default: object
    kinds: tuple[type, ...]
    optional: bool
    choices: tuple[str, ...]

    @classmethod
    def of(cls, found: Field[object], hint: object) -> _Declared:
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        kinds = tuple(part for part in parts if part is not NoneType)
        about = found.metadata["option"]
        words = list(about.choices)
        for kind in kinds:
            if get_origin(kind) is Literal:
                words += get_args(kind)
        default = None if found.default is MISSING else found.default
        return cls(found.name, about, default, kinds, NoneType in parts, tuple(words))

    def check(self, value: object) -> None:
        """Raise InputError for a value that is no choice or out of range."""
        if value is None and self.optional:
            return
        if value is None:
            raise InputError(f"{self.name} is None, expected {self._expected()}")
        if self.choices and value not in self.choices:
            raise InputError(f"{self.name} is {value!r}, expected {self._expected()}")
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        about = self.about
        if about.least is not None:
            require_at_least(self.name, value, about.least)
        if about.above is not None and not value > about.above:
            raise InputError(f"{self.name} is {value}, expected more than {about.above:g}")
        if about.most is not None and not value <= about.most:
            raise InputError(f"{self.name} is {value}, expected at most {about.most:g}")

    def parse(self, text: str) -> object:
        """The value that a word means. Raises InputError where it can mean none."""
        if text.lower() == "none" and self.optional:
            return None
        for kind in self.kinds:
            if kind is bool:
                if text.lower() in BOOL:
                    return BOOL[text.lower()]
            elif kind in (int, float):
                try:
                    return kind(text)
                except ValueError:
                    continue
            else:
                return Path(text) if kind is Path else text
        raise InputError(f"{self.name} is {text!r}, expected {self._expected()}")

    def _expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return " or ".join(kind.__name__ for kind in self.kinds)


def _declared(cls: Options) -> dict[str, _Declared]:
    hints = get_type_hints(cls if isinstance(cls, type) else type(cls))
    found = (f for f in fields(cls) if "option" in f.metadata)
    return {f.name: _Declared.of(f, hints[f.name]) for f in found}


def _parse_flag(declared: _Declared, text: str) -> object:
    """For argparse, which puts the name of the flag before the message."""
    try:
        value = declared.parse(text)
        declared.check(value)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value
