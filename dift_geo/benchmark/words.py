"""From the words of a user, `NAME:flag=value,...`, to a method of ours.

Its flags are the fields of the options of extractors and of matching, or of maps of whole images
and of the way in which labels are carried by them.
Knows no benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dift_geo.benchmark.methods import Method
from dift_geo.errors import InputError
from dift_geo.extractor import OF_MODEL, ExtractorOptions
from dift_geo.mapper import STILL, MapOptions
from dift_geo.matching.options import MatchOptions
from dift_geo.options import from_words, option_names
from dift_geo.video.options import PropagationOptions

__all__ = ["carried_from_words", "map_options_from_words", "method_from_words"]


def method_from_words(
    words: str,
    extractor: ExtractorOptions = ExtractorOptions(),
    matching: MatchOptions = MatchOptions(),
) -> Method:
    """Our own method from `NAME` or `NAME:flag=value,flag=value`.

    extractor, matching: what holds where the words say nothing else; their fields are the flags.
    Raises InputError for an unknown flag and for a value that its option refuses.
    """
    name, _, rest = words.partition(":")
    known = [*option_names(ExtractorOptions), *option_names(MatchOptions)]
    texts = _by_option(words, rest, known)
    of_matching = set(option_names(MatchOptions)) & set(texts)
    matched = from_words(MatchOptions, {option: texts.pop(option) for option in of_matching})
    changed = from_words(ExtractorOptions, texts)
    if "dift" not in changed.get("descriptor", "dift").split("+"):
        # options of the model say nothing about a method that has none
        plain = {option: getattr(ExtractorOptions(), option) for option in OF_MODEL}
        changed = {**plain, **changed}
    options = replace(extractor, **changed)
    return Method(name, options.build(), matching=replace(matching, **matched))


def map_options_from_words(words: str, usual: MapOptions = MapOptions()) -> tuple[str, MapOptions]:
    """The name of a row of maps and what makes them, from the same words.

    usual: what holds where the words say nothing else; its fields are the flags.
    Raises InputError for an unknown flag and for a value that its option refuses.
    """
    name, _, rest = words.partition(":")
    texts = _by_option(words, rest, option_names(MapOptions))
    return name, replace(usual, **from_words(MapOptions, texts))


def carried_from_words(
    words: str,
    usual: MapOptions = MapOptions(),
    carried: PropagationOptions = PropagationOptions(),
) -> tuple[str, MapOptions, PropagationOptions]:
    """The name of a row of videos, what makes its maps and how labels are carried by them.

    usual, carried: what holds where the words say nothing else; their fields are the flags.
    Raises InputError for an unknown flag and for a value that its option refuses.
    """
    name, _, rest = words.partition(":")
    of_propagation = option_names(PropagationOptions)
    # frames keep their shape: a square is nothing to ask for
    known = [own for own in option_names(MapOptions) if own != "side"]
    texts = _by_option(words, rest, [*known, *of_propagation])
    own = {option: texts.pop(option) for option in of_propagation if option in texts}
    options = replace(usual, **from_words(MapOptions, texts))
    if own and options.backend == STILL:
        raise InputError(
            f"method {words!r} looks at nothing, so {', '.join(own)} has nothing to act on; "
            "leave it out"
        )
    return name, options, replace(carried, **from_words(PropagationOptions, own))


def _by_option(method: str, rest: str, known: Sequence[str]) -> dict[str, str]:
    """`flag=value` words by the name of the option. method: all the words, for the message."""
    found = {}
    for word in filter(None, rest.split(",")):
        flag, _, value = word.partition("=")
        option = flag.strip().removeprefix("--").replace("-", "_")
        if option not in known or not value:
            raise InputError(
                f"method {method!r} has {word!r}, "
                f"expected flag=value with one of {', '.join(sorted(known))}"
            )
        found[option] = value
    return found
