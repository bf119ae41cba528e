"""One thing that was looked at, and what was found. Knows nothing of what is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from dift_geo.errors import DiftGeoError

__all__ = ["Finding", "Findings", "State"]

State = Literal["ok", "note", "broken"]
SHOWN = 3  # examples of one problem


@dataclass(frozen=True)
class Finding:
    """What was found.

    state: `ok`; `note` for what may be meant so; `broken` for what will fail or give wrong results.
    subject: a file or a part of the environment.
    text: one line.
    """

    state: State
    subject: str
    text: str


@dataclass(frozen=True)
class Findings:
    """The findings about one subject, in the order in which they are made.

    subject: a file, or a part of the environment.
    """

    subject: str
    found: list[Finding] = field(default_factory=list)

    def ok(self, text: str) -> None:
        """All is well."""
        self._add("ok", text)

    def note(self, text: str) -> None:
        """Something that may be meant so."""
        self._add("note", text)

    def broken(self, text: str) -> None:
        """Something that will fail or give wrong results."""
        self._add("broken", text)

    def examples(self, problems: list[str]) -> None:
        """Broken things of one kind: the first few, and how many more there are."""
        for problem in problems[:SHOWN]:
            self.broken(problem)
        if len(problems) > SHOWN:
            self.broken(f"and {len(problems) - SHOWN} more like these")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """An error of the package in the `with` block is something broken."""
        try:
            yield
        except DiftGeoError as error:
            self.broken(str(error))

    def _add(self, state: State, text: str) -> None:
        self.found.append(Finding(state, self.subject, " ".join(text.split())))
