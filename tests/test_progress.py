"""Progress is for terminals: what is on one, and what is not in a pipe."""

from __future__ import annotations

import io
import sys

import pytest

from dift_geo.progress import progress


class Terminal(io.StringIO):
    """What a terminal would show."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("shown", [True, False])
def test_a_terminal_sees_how_far_and_how_long(monkeypatch, shown) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress("abcd", "read", unit="letter", shown=shown)) == list("abcd")
    said = sys.stderr.getvalue()
    assert (said != "") == shown
    if shown:
        last = said.rpartition("\r")[2]
        assert last.startswith("read: 100%")
        assert "4/4 [" in last
        assert "letter" in last


def test_a_pipe_sees_nothing(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(progress(iter(range(3)), "count", unit="number", total=3)) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""
