"""Several describers as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dift_geo.detectors.contract import Describer
from dift_geo.dift.joined import Joined, join
from dift_geo.errors import InputError
from dift_geo.types import Keypoints


class Rows(Describer):
    """Unit rows of random numbers, `dim` of them, the same for the same name."""

    def __init__(self, name: str, dim: int, weight: float = 1.0) -> None:
        self._name, self.dim, self._weight = name, dim, weight

    @property
    def name(self) -> str:
        return self._name

    @property
    def weight(self) -> float:
        return self._weight

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str
    ) -> NDArray[np.float32]:
        seed = [*name.encode(), self.dim]
        rows = np.random.default_rng(seed).normal(size=(len(keypoints), self.dim))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def recipe(self) -> dict[str, Any]:
        return {"name": self.name, "dim": self.dim}


IMAGE = np.zeros((40, 40, 3), np.uint8)


def points(n: int) -> Keypoints:
    return Keypoints(np.full((n, 2), 7.0), np.ones(n), (40, 40))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_similarity_is_the_weighted_mean_of_the_parts(n: int) -> None:
    parts = [Rows("dift", 6, 5.0), Rows("rootsift", 4), Rows("other", 3, 0.5)]
    rows = Joined(parts).describe(IMAGE, points(n), "a")
    assert rows.shape == (n, 13)
    assert rows.dtype == np.float32
    own = [part.describe(IMAGE, points(n), "a") for part in parts]
    expected = sum(part.weight * r @ r.T for part, r in zip(parts, own)) / 6.5
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-6)


def test_it_is_a_describer_like_its_parts() -> None:
    a, b, c = Rows("dift", 6, 5.0), Rows("rootsift", 4), Rows("other", 3, 0.5)
    flat, nested = Joined([a, b, c]), Joined([Joined([a, b]), c])
    assert flat.name == nested.name == "dift+rootsift+other"
    assert flat.weight == nested.weight == 6.5
    rows = [each.describe(IMAGE, points(5), "a") for each in (flat, nested)]
    np.testing.assert_allclose(*rows, atol=1e-6)
    alone = Joined([b])
    np.testing.assert_array_equal(
        alone.describe(IMAGE, points(5), "a"), b.describe(IMAGE, points(5), "a")
    )


def test_the_recipe_tells_the_parts_and_their_order() -> None:
    a, b = Rows("dift", 6), Rows("rootsift", 4)
    assert Joined([a, b]).recipe() == {"joined": [a.recipe(), b.recipe()]}
    assert Joined([a, b]).recipe() != Joined([b, a]).recipe()
    with pytest.raises(InputError, match="Joined got no describers, expected one or more"):
        Joined([])


def test_join_keeps_unit_length() -> None:
    parts = [Rows("a", dim).describe(IMAGE, points(4), "a") for dim in (3, 5)]
    np.testing.assert_allclose(np.linalg.norm(join(parts, [5.0, 1.0]), axis=1), 1, atol=1e-6)
