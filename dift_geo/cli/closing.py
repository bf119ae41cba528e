"""What a command says when it is done: a short table for people, or JSON for programs.

Knows no command; whatever is wrong goes to stderr, elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

__all__ = ["add_json_flag", "close"]


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="the closing summary for programs")


def close(
    facts: Mapping[str, object], json: bool, rows: Mapping[str, object] | None = None
) -> None:
    """Print what was done.

    facts: by name, for programs, which get them as JSON.
    json: whether a program reads it.
    rows: the lines of the table for people; None takes the facts. What is None is left out.
    """
    from dift_geo.recipe import json_text

    if json:
        plain = {n: str(own) if isinstance(own, Path) else own for n, own in facts.items()}
        print(json_text(plain))
        return
    said = {n: str(own) for n, own in (facts if rows is None else rows).items() if own is not None}
    width = max(map(len, said), default=0)
    for name, words in said.items():
        print(f"{name:<{width}}  {words}")
