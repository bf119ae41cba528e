"""Closed-form descriptor projection: whiten what changes between views, keep what tells points
apart.

Linear discriminant analysis on corresponding descriptor pairs (Mikolajczyk and Matas, ICCV 2007,
whose recipe it follows): no labels, no gradient. Knows descriptors as rows of numbers only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import parse_json
from dift_geo.recipe import write_whole

__all__ = ["PairStatistics", "Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear map of descriptors to fewer numbers, scaled to unit length.

    A descriptor becomes (descriptor - mean) @ matrix. Before that row is scaled to unit length, the
    constant is appended to it as one more number.

    Why a constant: the length of a projected row says how much tells its point from any other, and
    scaling it to unit length loses that. With the constant, the cosine of two unit rows follows the
    distance of the rows before, the more closely the larger the constant. As the rows are whitened,
    that is Mahalanobis' distance. Points that look like many others then lie close together and are
    rarely each other's nearest neighbours by chance.

    mean: (D,) float32, subtracted from descriptors.
    matrix: (D, d) float32, one direction a column, the strongest first.
    about: what it was fitted for and on.
    constant: the appended number, in units of `length`; 0 appends none.
    length: root mean square length of projected rows where it was fitted.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    about: dict[str, str]
    constant: float = 0.0
    length: float = 1.0

    @property
    def input_dim(self) -> int:
        """Numbers in a descriptor, D."""
        return int(self.matrix.shape[0])

    @property
    def dim(self) -> int:
        """Numbers in a projected row, the constant counted."""
        return int(self.matrix.shape[1]) + (self.constant > 0)

    @property
    def weight(self) -> float:
        """How much its rows count beside others: as much more as their constant leaves less of
        their square, 1 / (1 + constant^2), to what varies.
        """
        return 1.0 + self.constant**2

    @property
    def fingerprint(self) -> str:
        """A short hash of the numbers, for recipes."""
        constant = (
            np.array([self.constant, self.length], np.float32).tobytes() if self.constant else b""
        )
        return hashlib.sha256(
            self.mean.tobytes() + self.matrix.astype(np.float16).tobytes() + constant
        ).hexdigest()[:16]

    def _checksum(self, about: str) -> str:
        return hashlib.sha256(f"{self.fingerprint} {about}".encode()).hexdigest()[:16]

    def apply(self, descriptors: ArrayLike) -> NDArray[np.float32]:
        """(N, D) -> (N, dim) float32 unit rows. Raises InputError when D is not the fitted one."""
        rows = np.asarray(descriptors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.input_dim:
            raise InputError(
                f"descriptors have shape {rows.shape}, "
                f"the projection expects (N, {self.input_dim}); "
                "fit one for this backbone and layer with `dift-geo calibrate`"
            )
        projected = (rows - self.mean) @ self.matrix
        if self.constant:
            projected = np.concatenate(
                [projected, np.full((len(rows), 1), self.constant * self.length, np.float32)], 1
            )
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)

    @classmethod
    def fit(
        cls,
        descriptors0: ArrayLike,
        descriptors1: ArrayLike,
        dim: int = 128,
        ridge: float = 1e-3,
        about: dict[str, str] | None = None,
        constant: float = 0.0,
    ) -> Projection:
        """Fit on corresponding rows: (N, D) twice. See `PairStatistics.projection`."""
        statistics = PairStatistics()
        statistics.add(descriptors0, descriptors1)
        return statistics.projection(dim, ridge, about, constant)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file (half precision matrix, float32 mean and constant) with `about`
        as its metadata.
        """
        from safetensors.numpy import save

        tensors: dict[str, NDArray] = {"mean": self.mean, "matrix": self.matrix.astype(np.float16)}
        if self.constant:
            tensors["constant"] = np.array([self.constant, self.length], np.float32)
        about = json.dumps(self.about)
        metadata = {"about": about, "checksum": self._checksum(about)}
        write_whole(path, save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path) -> Projection:
        """Read what `save` wrote.

        Raises MissingFileError without a file, InputError for a file of another kind or a damaged
        one.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise MissingFileError(
                f"no projection at {path}; fit one with `dift-geo calibrate IMAGES {path}`"
            )
        try:
            with safe_open(str(path), "numpy") as file:
                names = list(file.keys())
                tensors = {name: file.get_tensor(name) for name in names}
                metadata = file.metadata() or {}
            words = metadata.get("about", "{}")
            about = parse_json(words)
        except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path} is no projection file: {error}") from error
        _check_tensors(path, tensors, about)
        constant, length = (float(x) for x in tensors.get("constant", (0.0, 1.0)))
        mean, matrix = (tensors[key].astype(np.float32) for key in ("mean", "matrix"))
        loaded = cls(mean, matrix, about, constant, length)
        checksum = loaded._checksum(words)
        if metadata.get("checksum", checksum) != checksum:
            raise InputError(f"{path} is damaged: its checksum is another one; copy it again")
        return loaded


def _check_tensors(path: str | Path, tensors: Mapping[str, NDArray], about: object) -> None:
    """Raise InputError for what is no projection, or one with numbers that no fit gives."""
    for name in ("mean", "matrix"):
        if name not in tensors:
            raise InputError(f"{path} is no projection file: it has no {name!r}")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    rows = tensors["matrix"].shape[0] if tensors["matrix"].ndim == 2 else -1
    fits = tensors["matrix"].size and tensors["mean"].shape == (rows,)
    if not fits or shapes.get("constant", (2,)) != (2,) or not isinstance(about, dict):
        raise InputError(
            f"{path} is no projection file: its arrays have shapes {shapes}, "
            "expected mean (D,), matrix (D, d) and constant (2,)"
        )
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "f" or not np.isfinite(tensor.astype(np.float32)).all():
            raise InputError(
                f"{path} is damaged: {name} holds NaN or infinity; "
                "copy it again or fit it again with `dift-geo calibrate`"
            )
    constant, length = (float(x) for x in tensors.get("constant", (0.0, 1.0)))
    if constant < 0 or length <= 0:
        raise InputError(
            f"{path} is damaged: its constant is {constant:g} of length {length:g}, "
            "expected positive numbers; copy it again"
        )


class PairStatistics:
    """Running sums from which the projection follows, so that pairs need not stay in memory."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, descriptors0: ArrayLike, descriptors1: ArrayLike) -> None:
        """Count corresponding rows, (N, D) twice."""
        a, b = np.asarray(descriptors0, np.float64), np.asarray(descriptors1, np.float64)
        if a.ndim != 2 or a.shape != b.shape:
            raise InputError(
                f"corresponding descriptors have shapes {a.shape} and {b.shape}, "
                "expected twice (N, D)"
            )
        if not self.count:
            self.total = np.zeros(a.shape[1])
            self.within = np.zeros((a.shape[1], a.shape[1]))
            self.scatter = np.zeros_like(self.within)
        self.count += len(a)
        self.total += a.sum(0) + b.sum(0)
        self.within += (a - b).T @ (a - b)
        self.scatter += a.T @ a + b.T @ b

    def projection(
        self,
        dim: int = 128,
        ridge: float = 1e-3,
        about: dict[str, str] | None = None,
        constant: float = 0.0,
    ) -> Projection:
        """Whiten by the inverse covariance of pair differences, then keep the strongest directions
        of the rest.

        dim: numbers in a projected row, the constant counted; descriptors of fewer keep theirs.
        ridge: added to the within-pair covariance, as a share of its mean eigenvalue.
        about, constant: of `Projection`.
        Raises InputError when there are fewer than two pairs.
        """
        if self.count < 2:
            raise InputError(
                f"{self.count} corresponding pairs, expected at least 2; "
                "use more or better textured photos"
            )
        mean = self.total / (2 * self.count)
        total = self.scatter / (2 * self.count) - np.outer(mean, mean)
        within = self.within / (2 * self.count)
        within[np.diag_indices_from(within)] += ridge * max(np.trace(within) / len(within), 1e-12)
        lower = np.linalg.cholesky(within)
        whitened = np.linalg.solve(lower, np.linalg.solve(lower, total).T)  # L^-1 total L^-T
        values, vectors = np.linalg.eigh((whitened + whitened.T) / 2)
        kept = dim - (constant > 0)
        matrix = np.linalg.solve(lower.T, vectors[:, ::-1][:, :kept])
        length = float(np.sqrt(max(values[::-1][:kept].sum(), 0)))
        return Projection(
            mean.astype(np.float32), matrix.astype(np.float32), about or {}, constant, length
        )
