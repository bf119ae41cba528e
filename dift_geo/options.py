"""Options: frozen dataclasses whose fields are the one description of what a user can ask for.

Flags of the command line, `NAME:flag=value` words, hloc's configurations and recipes are derived from
the fields declared by `option`. Values out of range are refused when the object is made, before any
work. Knows no option in particular.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dift_geo.errors import InputError

__all__ = ["add_flags", "check_ranges", "from_words", "option", "option_names", "take_flags"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Option:
    text: str
    metavar: str | None
    choices: tuple[str, ...]
    least: float | None
    above: float | None
    most: float | None


def option(
    default: Any,
    text: str,
    *,
    metavar: str | None = None,
    choices: Collection[str] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """A dataclass field that is an option.

    text: what it means, in one line; the flag's help. choices: the words allowed, where the type is not
    a `Literal` of them. least, above, most: range of a number; `above` itself is excluded.
    """
    about = _Option(text, metavar, tuple(choices), least, above, most)
    return field(default=default, metadata={"option": about})


def check_ranges(options: Any) -> None:
    """Raise InputError for the first field whose value is no choice or out of range."""
    for name, about in _declared(type(options)).items():
        value = getattr(options, name)
        allowed = _choices(type(options), name)
        if allowed and value is not None and value not in allowed:
            raise InputError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
        if value is None or isinstance(value, str | bool):
            continue
        if about.least is not None and not value >= about.least:
            raise InputError(f"{name} is {value}, expected at least {about.least:g}")
        if about.above is not None and not value > about.above:
            raise InputError(f"{name} is {value}, expected more than {about.above:g}")
        if about.most is not None and not value <= about.most:
            raise InputError(f"{name} is {value}, expected at most {about.most:g}")


def option_names(cls: type) -> list[str]:
    """The fields of `cls` declared by `option`, in order."""
    return list(_declared(cls))


def add_flags(
    parser: Any,
    cls: type,
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add a flag for every option of `cls` to an argparse parser or group.

    without: fields that get none. defaults: other defaults than the fields' own.
    """
    for name, about in _declared(cls).items():
        if name in without:
            continue
        default = (defaults or {}).get(name, _default(cls, name))
        flag = "--" + name.replace("_", "-")
        kinds = _kinds(cls, name)
        if kinds == (bool,):
            parser.add_argument(flag, action="store_true", default=default, help=about.text)
            continue
        choices = _choices(cls, name) or None
        metavar = None if choices else about.metavar or name.rpartition("_")[2].upper()
        parser.add_argument(
            flag,
            type=lambda text, name=name: _parse_flag(cls, name, text),
            default=default,
            choices=choices,
            metavar=metavar,
            help=about.text.replace("%", "%%"),
        )


def take_flags(cls: type[T], flags: dict[str, Any], **others: Any) -> T:
    """Take the options of `cls` out of parsed flags and make the object of them and of `others`."""
    own = {name: flags.pop(name) for name in option_names(cls) if name in flags}
    return cls(**own, **others)


def from_words(cls: type, words: Mapping[str, str]) -> dict[str, Any]:
    """Parse `flag=value` words, dashes or underscores, into values of the fields of `cls`.

    Raises InputError for a name that is no option and for a value of the wrong type.
    """
    found = {}
    for flag, text in words.items():
        name = flag.strip().removeprefix("--").replace("-", "_")
        if name not in _declared(cls):
            raise InputError(f"{flag!r} is no option, expected one of {', '.join(_declared(cls))}")
        found[name] = _parse(cls, name, text)
    return found


def _declared(cls: type) -> dict[str, _Option]:
    return {f.name: f.metadata["option"] for f in fields(cls) if "option" in f.metadata}


def _default(cls: type, name: str) -> Any:
    found = next(f.default for f in fields(cls) if f.name == name)
    return None if found is MISSING else found


def _kinds(cls: type, name: str) -> tuple[Any, ...]:
    """The types of a field but for None: `int | None` -> (int,)."""
    hint = get_type_hints(cls)[name]
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(part for part in parts if part is not NoneType)


def _choices(cls: type, name: str) -> tuple[str, ...]:
    words = [
        word for kind in _kinds(cls, name) if get_origin(kind) is Literal for word in get_args(kind)
    ]
    return (*_declared(cls)[name].choices, *words)


def _optional(cls: type, name: str) -> bool:
    return NoneType in get_args(get_type_hints(cls)[name])


def _parse(cls: type, name: str, text: str) -> Any:
    if text.lower() == "none" and _optional(cls, name):
        return None
    for kind in _kinds(cls, name):
        if kind is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() in words:
                return words[text.lower()]
        elif kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        elif kind is Path:
            return Path(text)
        else:
            return text
    wanted = " or ".join(kind.__name__ for kind in _kinds(cls, name))
    raise InputError(f"{name} is {text!r}, expected {wanted}")


def _parse_flag(cls: type, name: str, text: str) -> Any:
    try:
        return _parse(cls, name, text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
