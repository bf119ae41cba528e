"""Where the nearest neighbours of two sets of descriptors can be, out of products that round.

One pass over tiles of the product, each small enough for the processor's cache, gives the maxima of
rows and of columns; entries within the products' error of a maximum are candidates, a few for each
row. Nothing as large as N x M is kept. Knows the error of its products and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.matching.product import product

__all__ = [
    "TOLERANCE",
    "Candidates",
    "Entries",
    "Indices",
    "Nearby",
    "Values",
    "find_candidates",
    "largest_norm",
    "summation_error",
]

# Cosines that differ by no more than this are equal. The entries of a row carry rounding errors of
# 2^-24 each, so two computations of one row can differ by 2^-23 in their cosine with a third; this
# is twice that. Products in float32 add errors of a few 1e-7 for D <= 1024 that differ between
# processors: wherever those could decide, `settle` computes again in float64.
TOLERANCE = 2.0**-22  # 2.4e-7
ROUNDING = 2.0**-24  # relative error of one float32 operation
TILE = 1 << 19  # entries of a product at a time: a megabyte or two, which caches hold
GROUPS = 64  # columns of a tile are looked at in groups, every 64th together
BANDS = 32  # maxima of columns are kept by bands of rows, to find the rows again
WIDTHS = 16  # the second look's products are of multiples: oneDNN plans every new size at a cost
CROWD = 16  # candidates a row, on average, beyond which all is compared exactly

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


def largest_norm(descriptors: Tensor) -> float:
    """Of the rows of (N, D), at least one."""
    return torch.linalg.vector_norm(descriptors, dim=1).max().item()


def summation_error(dim: int, norm0: float, norm1: float) -> float:
    """How far a float32 product of rows of `dim` numbers can be off, in any order of summation.

    The classical bound: dimension times rounding times the norms (Higham 2002, section 3.1).
    """
    return dim * ROUNDING * norm0 * norm1


@dataclass(frozen=True)
class Entries:
    """Places in the product: rows (K,) and columns (K,)."""

    rows: Indices
    columns: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray) -> Entries:
        return Entries(self.rows[chosen], self.columns[chosen])

    def turned(self) -> Entries:
        """The same places in the transposed product."""
        return Entries(self.columns, self.rows)


@dataclass(frozen=True)
class Nearby:
    """What can be the nearest neighbour of rows of one set, and how near the rest comes.

    entries: all that can be the neighbour of a row, for rows that can be in a mutual pair.
    rest: (N,), the largest similarity of such a row to what is not in `entries`, as a product
        rounded it, -inf where nothing is left; None where it was not asked for.
    """

    entries: Entries
    rest: Values | None


@dataclass(frozen=True)
class Candidates:
    """All that can be a pair of mutual neighbours, seen from both sets.

    of0: of rows of the first set, with columns in the second.
    of1: of rows of the second set, with columns in the first.
    """

    of0: Nearby
    of1: Nearby


def find_candidates(
    d0: Tensor, d1: Tensor, error: float, block: int, *, rest: bool = False
) -> Candidates | None:
    """The candidates for mutual neighbours of (N, D) and (M, D).

    error: how far a float32 product can be off.
    block: most rows and columns of one product.
    rest: whether how near the rest comes is wanted.

    None where there are too many: crowds that float32 cannot tell apart.
    """
    return _Pass(d0, d1, TOLERANCE + 2 * error, block, rest).run()


class _Pass:
    """One pass over the product, and the look back at the columns that matter."""

    def __init__(self, d0: Tensor, d1: Tensor, margin: float, block: int, rest: bool) -> None:
        """margin: how far below a maximum a candidate can be."""
        self.d0, self.d1, self.margin = d0, d1, margin
        self.n, self.m = len(d0), len(d1)
        self.width = min(block, self.m)
        self.height = max(1, min(block, max(64, TILE // self.width), self.n))
        strips = -(-self.n // self.height)
        self.per_band = -(-strips // BANDS)
        bands = -(-strips // self.per_band)
        self.columns_best = d0.new_full((bands, self.m), -torch.inf)
        self.rows_best = d0.new_full((self.n,), -torch.inf)
        self.rows_rest = d0.new_full((self.n,), -torch.inf) if rest else None
        self.found: list[tuple[Entries, Tensor]] = []
        self.count = 0

    def run(self) -> Candidates | None:
        """See `find_candidates`."""
        for i, rows in enumerate(self._strips()):
            for j in range(0, self.m, self.width):
                if not self._look(i // self.per_band, rows, slice(j, min(j + self.width, self.m))):
                    return None
        entries, values = self._of_rows()
        column_floor = self.columns_best.amax(0) - self.margin
        device = column_floor.device
        both = _flat(values >= column_floor[torch.from_numpy(entries.columns).to(device)])
        mutual = entries[both]
        looked_at, columns = np.zeros(self.n, bool), np.zeros(self.m, bool)
        looked_at[mutual.rows] = True
        columns[mutual.columns] = True
        of0 = Nearby(entries[looked_at[entries.rows]], _numbers(self.rows_rest))
        of1 = self._look_back(np.flatnonzero(columns), column_floor)
        return None if of1 is None else Candidates(of0, of1)

    def _of_rows(self) -> tuple[Entries, Tensor]:
        """The candidates of all rows, with their values, once the maxima of rows are known."""
        entries = _joined([entries for entries, _ in self.found])
        values = torch.cat([values for _, values in self.found])
        if self.width == self.m:
            return entries, values
        rows = torch.from_numpy(entries.rows).to(values.device)
        near = values >= self.rows_best[rows] - self.margin  # floors have risen since
        if self.rows_rest is not None:
            self.rows_rest.scatter_reduce_(0, rows[~near], values[~near], "amax")
        return entries[_flat(near)], values[near]

    def _strips(self) -> Iterator[slice]:
        for i in range(0, self.n, self.height):
            yield slice(i, min(i + self.height, self.n))

    def _look(self, band: int, rows: slice, columns: slice) -> bool:
        """Take the maxima of a tile and the candidates of its rows; False for a crowd."""
        tile = product(self.d0[rows], self.d1[columns])  # (R, C)
        best = self.columns_best[band, columns]
        torch.maximum(best, tile.amax(0), out=best)
        if tile.shape[1] % GROUPS:
            missing = -tile.shape[1] % GROUPS
            tile = torch.nn.functional.pad(tile, (0, missing), value=-torch.inf)
        tile = tile.view(len(tile), -1, GROUPS)  # (R, C / G, G)
        groups = tile.amax(1)  # (R, G)
        torch.maximum(self.rows_best[rows], groups.amax(1), out=self.rows_best[rows])
        floor = self.rows_best[rows] - self.margin
        near_groups = groups >= floor[:, None]
        chosen = _flat(near_groups)
        self.count += len(chosen)
        if self._crowded():
            return False
        row, group = np.divmod(chosen, GROUPS)
        row_there = torch.from_numpy(row).to(tile.device)
        members = tile[row_there, :, torch.from_numpy(group).to(tile.device)]  # (K, C / G)
        near = members >= floor[row_there][:, None]
        held = _flat(near)
        if self.rows_rest is not None:
            rest = self.rows_rest[rows]
            torch.maximum(rest, _rest(groups, near_groups, 1), out=rest)
            rest.scatter_reduce_(0, row_there, _rest(members, near, 1), "amax")
        which, place = np.divmod(held, tile.shape[1])
        self.count += len(held) - len(chosen)
        entries = Entries(row[which] + rows.start, place * GROUPS + group[which] + columns.start)
        self.found.append((entries, members.flatten()[torch.from_numpy(held).to(tile.device)]))
        return not self._crowded()

    def _crowded(self) -> bool:
        return self.count > CROWD * (self.n + self.m)

    def _look_back(self, columns: Indices, floor: Tensor) -> Nearby | None:
        """All entries of some columns that reach the floor, out of bands where there are any."""
        found, count = [Entries(_none(), _none())], 0
        there = torch.from_numpy(columns).to(floor.device)
        best = self.columns_best[:, there]  # (bands, J)
        reached = best >= floor[there]
        rest = None
        if self.rows_rest is not None:
            rest = torch.full_like(floor, -torch.inf)
            rest[there] = _rest(best, reached, 0)
        of_bands = reached.cpu().numpy()
        for i, rows in enumerate(self._strips()):
            wanted = np.flatnonzero(of_bands[i // self.per_band])
            for some in np.split(wanted, range(self.width, len(wanted), self.width)):
                if not len(some):
                    continue
                padded = some[np.minimum(np.arange(len(some) + -len(some) % WIDTHS), len(some) - 1)]
                chosen = there[torch.from_numpy(padded).to(there.device)]
                tile = product(self.d0[rows], self.d1.index_select(0, chosen))[:, : len(some)]
                chosen = chosen[: len(some)]
                near = tile >= floor[chosen]
                if rest is not None:
                    rest[chosen] = torch.maximum(rest[chosen], _rest(tile, near, 0))
                row, column = np.divmod(_flat(near), len(some))
                count += len(row)
                if count > CROWD * (self.n + self.m):
                    return None
                found.append(Entries(row + rows.start, columns[some[column]]))
        return Nearby(_joined(found).turned(), _numbers(rest))


def _joined(parts: list[Entries]) -> Entries:
    return Entries(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.columns for part in parts]),
    )


def _none() -> Indices:
    return np.zeros(0, np.int64)


def _flat(mask: Tensor) -> Indices:
    """Where a mask is true, counted through its rows: on the CPU, many times torch's speed."""
    return np.flatnonzero(mask.cpu().numpy())


def _rest(values: Tensor, near: Tensor, dim: int) -> Tensor:
    """Maxima along a dimension of what a mask leaves; -inf where it leaves nothing."""
    return values.masked_fill(near, -torch.inf).amax(dim)


def _numbers(values: Tensor | None) -> Values | None:
    return None if values is None else values.double().cpu().numpy()
