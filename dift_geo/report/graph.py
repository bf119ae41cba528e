"""The image graph as a drawing: photos on a circle, lines between those that match.

Places and widths only; the page draws them. Knows no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin, sqrt

from dift_geo.colmap.seen import SeenModel, SeenPair
from dift_geo.report.model import contradicts

__all__ = ["Edge", "Graph", "Node"]

RADIUS, RIM = 100.0, 30.0  # of the circle, and beyond it for names
NAMED = 40  # photos, above which names would lie on each other
LETTERS = 14  # of a name that is shown
WIDEST, THINNEST = 3.0, 0.4


@dataclass(frozen=True)
class Node:
    """A photo: its name, what is shown of it, where it lies, whether the model has it."""

    name: str
    label: str
    x: float
    y: float
    registered: bool
    left: bool  # of the circle, where names end at it


@dataclass(frozen=True)
class Edge:
    """A verified pair: its row on the page, its ends, its width, what kind it is, its words."""

    row: int
    x0: float
    y0: float
    x1: float
    y1: float
    width: float
    kind: str
    words: str


@dataclass(frozen=True)
class Graph:
    """Photos and verified pairs.

    half: of the side of the drawing, which has its origin in the middle.
    nodes: in the order of their names.
    edges: weakest first, so that the strong and those against the model lie above.
    """

    half: float
    nodes: Sequence[Node]
    edges: Sequence[Edge]

    @classmethod
    def of(cls, seen: SeenModel, pairs: Sequence[SeenPair]) -> Graph:
        """pairs: those that can be opened, in the page's order."""
        count = len(seen.photos)
        nodes = {}
        for index, photo in enumerate(seen.photos.values()):
            angle = 2 * pi * index / max(count, 1) - pi / 2
            x, y = RADIUS * cos(angle), RADIUS * sin(angle)
            label = _label(photo.name) if count <= NAMED else ""
            registered = photo.cam_from_world is not None
            nodes[photo.name] = Node(photo.name, label, x, y, registered, x < 0)
        most = max((int(pair.inliers.sum()) for pair in pairs), default=0)
        edges = [
            _edge(row, pair, nodes[pair.name0], nodes[pair.name1], most)
            for row, pair in enumerate(pairs)
            if pair.inliers.any()
        ]
        edges.sort(key=lambda edge: (edge.kind == "against", edge.width))
        return cls(RADIUS + (2.4 * RIM if count <= NAMED else RIM / 3), list(nodes.values()), edges)


def _edge(row: int, pair: SeenPair, node0: Node, node1: Node, most: int) -> Edge:
    inliers = int(pair.inliers.sum())
    kind = "against" if contradicts(pair) else "unknown" if pair.agreement is None else "agrees"
    says = "" if pair.agreement is None else f", {100 * pair.agreement:.0f} % agree with the model"
    words = f"{pair.name0} and {pair.name1}: {inliers} inliers of {len(pair.pairs)} matches{says}"
    width = THINNEST + (WIDEST - THINNEST) * sqrt(inliers / most)
    return Edge(row, node0.x, node0.y, node1.x, node1.y, width, kind, words)


def _label(name: str) -> str:
    short = name.rpartition("/")[2].rpartition(".")[0] or name
    return short if len(short) <= LETTERS else f"{short[: LETTERS - 1]}…"
