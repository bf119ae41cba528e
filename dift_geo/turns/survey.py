"""From pairs of photos to the whole set: every photo's roll and zoom, in one common frame.

The pairs on which most matches agree join the photos to a tree, which says how each stands; but
along a walk around a thing, rolls of neighbours add up to a turn that no photo has. So photos stay
as they stand where the pairs are content with that. Knows how photos are compared and not where
they come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import combinations, product
from math import remainder, tau

import numpy as np

from dift_geo.turns.probe import Probe, Seen, compare
from dift_geo.types import Pair, Turn

__all__ = ["survey_turns"]

EVERY = 40  # photos up to which each is compared with each
SPARE = 20  # photos of the largest group that another group's first one is compared with, at most
CROWD = np.deg2rad(15)  # spread of the kernel under which most rolls crowd
BORNE_ROLL, BORNE_ZOOM = np.deg2rad(15), 0.3  # by which photos of a pair may stand apart
SWEEPS = 10
Group = dict[str, Turn]
Around = Mapping[str, Sequence[tuple[str, Seen]]]  # how each stands beside others


def survey_turns(
    probes: Mapping[str, Probe], known: Mapping[str, Turn] | None = None, *, zoom: bool = True
) -> Group:
    """How each photo of a set stands, by name.

    In each group of photos that matches join, rolls are told from the one near which most lie, and
    zooms from the median. A photo that is joined to none stands as it is, and so does one that no
    pair wants turned: photos that are 15 degrees or a third of an octave apart match. Up to 40
    photos each is compared with each; of more, each with its neighbours in the order of names, at
    distances of 1, 2, 4 and so on, and the groups that are left over with the largest one.

    probes: of the photos, by name.
    known: turns that are settled; they stay, and others are told from them.
    zoom: off, all zooms are 0.
    """
    names = sorted(probes)
    settled = {name: turn for name, turn in (known or {}).items() if name in probes}
    seen = _compare_all(probes, settled, _near_pairs(names))
    around = _neighbours(names, seen)
    groups = _join(around, settled)
    if len(names) > EVERY and len(groups) > 1:
        seen |= _compare_all(probes, settled, _pairs_between(groups))
        around = _neighbours(names, seen)
        groups = _join(around, settled)
    found: Group = {}
    for turned in groups:
        held = {name: settled[name] for name in turned if name in settled}
        unturned = dict.fromkeys(turned, Turn()) | held
        ways = [_relaxed(way, around, held) for way in (unturned, turned)]
        best = min(ways, key=lambda way: _strain(way, around))  # of equals, with fewer turned
        found |= best if held else _from_most(best)
    return found if zoom else {name: Turn(turn.roll) for name, turn in found.items()}


def _near_pairs(names: Sequence[str]) -> Iterator[Pair]:
    if len(names) <= EVERY:
        yield from combinations(names, 2)
        return
    step = 1
    while step < len(names):
        yield from zip(names, names[step:])
        step *= 2


def _pairs_between(groups: Sequence[Group]) -> Iterator[Pair]:
    """The first photo of each group with some of the largest."""
    largest = max(groups, key=len)
    some = list(largest)[:: -(-len(largest) // SPARE)]
    yield from product((next(iter(group)) for group in groups if group is not largest), some)


def _compare_all(
    probes: Mapping[str, Probe], settled: Mapping[str, Turn], pairs: Iterable[Pair]
) -> dict[Pair, Seen]:
    """What pairs say that say anything new."""
    found = {}
    for first, second in pairs:
        if first in settled and second in settled:
            continue
        seen = compare(probes[first], probes[second])
        if seen is not None:
            found[first, second] = seen
    return found


def _neighbours(names: Sequence[str], seen: Mapping[Pair, Seen]) -> Around:
    around: dict[str, list[tuple[str, Seen]]] = {name: [] for name in names}
    for (first, second), found in seen.items():
        around[second].append((first, found))
        around[first].append((second, found.reversed()))
    return around


def _join(around: Around, settled: Mapping[str, Turn]) -> list[Group]:
    """Turns of each group: its photos are reached one by one, over the pair on which most agree."""
    groups: list[Group] = []
    done: set[str] = set()
    for start in [*settled, *around]:
        if start in done:
            continue
        group = dict(settled) if start in settled else {start: Turn()}
        edges: list[tuple[int, str, str, Turn]] = []
        new = list(group)
        while new:
            for name in new:
                for other, found in around[name]:
                    heappush(edges, (-found.agreeing, name, other, found.reversed().turn))
            new = []
            while edges and not new:
                _, name, other, turn = heappop(edges)
                if other not in group:
                    group[other] = _after(group[name], turn)
                    new = [other]
        groups.append(group if start in settled else _from_most(group))
        done |= group.keys()
    return groups


def _relaxed(way: Group, around: Around, held: Container[str]) -> Group:
    """The same turns, each changed for one that a neighbour asks for while that eases its pairs.

    held: photos whose turns stay.
    """
    turns = dict(way)
    for _ in range(SWEEPS):
        moved = False
        for name in (name for name in turns if name not in held):
            asked = [_after(turns[other], found.turn) for other, found in around[name]]
            choices = [turns[name], *asked]
            strains = [_pull(turn, turns, around[name]) for turn in choices]
            best = strains.index(min(strains))
            if best > 0:
                turns[name], moved = choices[best], True
        if not moved:
            break
    return turns


def _strain(way: Group, around: Around) -> float:
    """How far the pairs of a group are from standing alike, each counted from both sides."""
    return sum(_pull(turn, way, around[name]) for name, turn in way.items())


def _pull(turn: Turn, turns: Group, pairs: Sequence[tuple[str, Seen]]) -> float:
    """How far a photo that stands so is from what its pairs ask for, by the matches that do."""
    return sum(_misfit(turns[other], turn, found) for other, found in pairs)


def _misfit(first: Turn, second: Turn, seen: Seen) -> float:
    wanted = _after(first, seen.turn)
    roll = abs(remainder(second.roll - wanted.roll, tau)) / BORNE_ROLL
    zoom = abs(second.zoom - wanted.zoom) / BORNE_ZOOM
    return seen.agreeing * sum(min(max(off - 1, 0.0), 1.0) for off in (roll, zoom))


def _after(first: Turn, turn: Turn) -> Turn:
    return Turn(first.roll + turn.roll, first.zoom + turn.zoom)


def _from_most(group: Group) -> Group:
    """The same turns, told from the roll near which most lie and the median zoom."""
    rolls = Counter(turn.roll for turn in group.values())  # most are the same, of large groups
    angles, counts = np.array(list(rolls)), np.array(list(rolls.values()))
    crowd = np.exp((np.cos(angles[:, None] - angles) - 1) / CROWD**2) @ counts
    roll = angles[crowd.argmax()]
    zoom = float(np.median([turn.zoom for turn in group.values()]))
    return {
        name: Turn(remainder(turn.roll - roll, tau), turn.zoom - zoom)
        for name, turn in group.items()
    }
