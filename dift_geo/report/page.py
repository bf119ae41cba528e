"""One HTML file that holds all it needs: style, scripts, data. It asks nobody for anything.

A policy in its head forbids every request, and every script but those of this package. Knows
templates and assets; not what they show.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from dift_geo import __version__
from dift_geo.errors import InputError
from dift_geo.recipe import json_text, write_whole

__all__ = ["GENERATOR", "PAGE", "asset", "leaves", "render", "write_page"]

GENERATOR = "dift-geo report"
PAGE = "report.html"  # in the folder of a run
HEAD = 4096  # bytes in which a page of ours says so
UNKNOWN = "\N{EN DASH}"  # in the place of a number
# what would end the element that holds the data, or begin another one
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def asset(name: str) -> str:
    """The text of a file of `report/assets`."""
    return files("dift_geo.report").joinpath(f"assets/{name}").read_text(encoding="utf-8")


def render(
    template: str,
    *,
    scripts: Sequence[str],
    data: Mapping[str, object],
    live: bool = False,
    **context: object,
) -> str:
    """A page.

    template: a file of `report/assets`, which extends `base.html`.
    scripts: files of `report/assets`, in the order in which they run.
    data: what the scripts find in the element #data, as JSON.
    live: the page may ask the server that it came from, and nobody else.
    context: what the template is given besides.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("base.html", template)
    environment = Environment(
        loader=DictLoader({name: asset(name) for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "per_cent": _per_cent}
    style, code = asset("page.css"), [asset(name) for name in scripts]
    return environment.get_template(template).render(
        generator=f"{GENERATOR} {__version__}",
        policy=_policy(style, code, "'self'" if live else "'none'"),
        live=live,
        style=style,
        scripts=code,
        data=_safe_json(data),
        version=__version__,
        **context,
    )


def write_page(path: Path, page: str) -> None:
    """Write a page where there is none, or in the place of one of ours.

    Raises InputError for a file that is there and is none of ours, WriteError where none can be
    written.
    """
    if path.exists():
        with path.open("rb") as opened:
            if GENERATOR.encode() not in opened.read(HEAD):
                raise InputError(
                    f"{path} is there and was not made by {GENERATOR}; move it away, nothing was "
                    "changed"
                )
    write_whole(path, page.encode())


def leaves(data: object, where: str = "") -> Iterator[tuple[str, str]]:
    """What a recipe says, as names with dots and words."""
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from leaves(value, f"{where}.{key}" if where else str(key))
    elif where:
        yield where, "none" if data is None else str(data)


def _policy(style: str, scripts: Sequence[str], asked: str) -> str:
    """Nothing is loaded from anywhere; what runs is known by its hash."""
    code = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; img-src data: blob:; style-src {_hash(style)}; script-src {code}; "
        f"connect-src {asked}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _safe_json(data: Mapping[str, object]) -> str:
    text = json_text(data)
    for letter, escaped in UNSAFE.items():
        text = text.replace(letter, escaped)
    return text


def _number(value: float | None, digits: int = 0) -> str:
    """`12,345.68`; a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _per_cent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.0f} %"
