"""`dift_geo.benchmark_methods` of 0.1, for scripts that import it."""

from collections.abc import Mapping
from pathlib import Path

from dift_geo.benchmark import methods, short_side
from dift_geo.benchmark import words as in_words
from dift_geo.extractor import ExtractorOptions
from dift_geo.matching.options import MatchOptions
from dift_geo.options import take_flags

__all__ = [
    "AnyMethod",
    "ForeignMethod",
    "Method",
    "Prepared",
    "ShortSide",
    "StoredMethod",
    "method_from_words",
    "resize_to",
    "stored_methods",
]

AnyMethod = methods.AnyMethod
ForeignMethod = methods.ForeignMethod
Method = methods.Method
Prepared = methods.Prepared
ShortSide = short_side.ShortSide
StoredMethod = methods.StoredMethod
resize_to = short_side.resize_to
stored_methods = methods.stored_methods


def method_from_words(
    words: str, defaults: Mapping[str, object], keypoints: Path | None = None
) -> methods.Method:
    """A method of ours from `NAME:flag=value,...`, with defaults by the name of their flag."""
    flags = {**defaults, **({} if keypoints is None else {"detector": f"listed:{keypoints}"})}
    matching = take_flags(MatchOptions, flags)
    return in_words.method_from_words(words, take_flags(ExtractorOptions, flags), matching)
