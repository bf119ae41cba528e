"""From the words of a user, `NAME:flag=value,...`, to a method of ours.

Its flags are the fields of the options of extractors and of matching. Knows no benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dift_geo.benchmark.methods import Method
from dift_geo.errors import InputError
from dift_geo.extractor import ExtractorOptions
from dift_geo.matching.options import MatchOptions
from dift_geo.options import from_words, option_names

__all__ = ["method_from_words"]

OF_MODEL = ("reading", "projection", "mode", "max_batch", "config")  # of `ExtractorOptions`


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
    texts = _by_option(words, list(filter(None, rest.split(","))))
    of_matching = set(option_names(MatchOptions)) & set(texts)
    matched = from_words(MatchOptions, {option: texts.pop(option) for option in of_matching})
    changed = from_words(ExtractorOptions, texts)
    if "dift" not in changed.get("descriptor", "dift").split("+"):
        # options of the model say nothing about a method that has none
        plain = {option: getattr(ExtractorOptions(), option) for option in OF_MODEL}
        changed = {**plain, **changed}
    options = replace(extractor, **changed)
    return Method(name, options.build(), matching=replace(matching, **matched))


def _by_option(method: str, words: Sequence[str]) -> dict[str, str]:
    """`flag=value` words by the name of the option. method: all the words, for the message."""
    known = sorted([*option_names(ExtractorOptions), *option_names(MatchOptions)])
    found = {}
    for word in words:
        flag, _, value = word.partition("=")
        option = flag.strip().removeprefix("--").replace("-", "_")
        if option not in known or not value:
            raise InputError(
                f"method {method!r} has {word!r}, "
                f"expected flag=value with one of {', '.join(known)}"
            )
        found[option] = value
    return found
