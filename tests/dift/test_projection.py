"""The closed form against scipy's generalised eigenvectors, files, and what it is for: telling
points apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.matching.mutual_nn import match_mutual_nn


def descriptor_pairs(n: int = 600, dim: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points that differ along some axes, and a strong nuisance along others."""
    random = np.random.default_rng(seed)
    points = random.standard_normal((n, dim)) * np.linspace(2, 0.1, dim) + random.uniform(
        -3, 3, dim
    )
    nuisance = random.standard_normal((dim, dim)) * np.linspace(0.1, 2, dim)
    first, second = (points + 0.3 * random.standard_normal((n, dim)) @ nuisance.T for _ in range(2))
    return first, second


def test_equals_the_generalised_eigenvectors() -> None:
    """LDA: maximise v' T v with v' W v = 1. scipy.linalg.eigh(T, W) solves exactly that."""
    d0, d1 = descriptor_pairs()
    fitted = Projection.fit(d0, d1, dim=8, ridge=1e-2)
    both = np.concatenate([d0, d1])
    total = np.cov(both.T, bias=True)
    within = (d0 - d1).T @ (d0 - d1) / (2 * len(d0))
    within += 1e-2 * np.trace(within) / len(within) * np.eye(len(within))
    _, vectors = scipy.linalg.eigh(total, within)
    expected = vectors[:, ::-1][:, :8]
    sign = np.sign((fitted.matrix * expected).sum(0))
    np.testing.assert_allclose(fitted.matrix * sign, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(fitted.mean, both.mean(0), atol=1e-5)
    projected = (both - both.mean(0)) @ expected
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.apply(both) * sign, projected, atol=1e-4)


def test_statistics_may_come_in_pieces() -> None:
    d0, d1 = descriptor_pairs()
    pieces = PairStatistics()
    for part in np.array_split(np.arange(len(d0)), 7):
        pieces.add(d0[part], d1[part])
    pieces.add(d0[:0], d1[:0])
    whole, parts = Projection.fit(d0, d1, dim=5), pieces.projection(dim=5)
    sign = np.sign((whole.matrix * parts.matrix).sum(0))
    np.testing.assert_allclose(parts.matrix * sign, whole.matrix, atol=1e-5)


def test_empty_statistics_may_begin_with_nothing() -> None:
    d0, d1 = descriptor_pairs()
    pieces = PairStatistics()
    pieces.add(d0[:0], d1[:0])
    pieces.add(d0, d1)
    assert pieces.projection(dim=3).dim == 3


def test_it_helps_matching_on_other_points() -> None:
    d0, d1 = descriptor_pairs(n=900)
    fitted = Projection.fit(d0[:600], d1[:600], dim=16)
    new = [d[600:] - fitted.mean for d in (d0, d1)]

    def correct(rows0: np.ndarray, rows1: np.ndarray) -> float:
        pairs = match_mutual_nn(
            *(rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (rows0, rows1))
        ).pairs
        return float((pairs[:, 0] == pairs[:, 1]).sum() / len(rows0))

    assert correct(*(fitted.apply(d + fitted.mean) for d in new)) > correct(*new) + 0.05


@pytest.mark.parametrize("n", [0, 1, 5])
def test_apply_empty_one_many(n: int) -> None:
    fitted = Projection.fit(*descriptor_pairs(), dim=4)
    rows = fitted.apply(descriptor_pairs()[0][:n])
    assert rows.shape == (n, 4)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert not fitted.apply(fitted.mean[None]).any()  # the mean itself has no direction


def test_more_dimensions_than_there_are() -> None:
    assert Projection.fit(*descriptor_pairs(), dim=128).dim == 20


def test_equal_descriptors_do_not_break_it() -> None:
    constant = np.ones((10, 6))
    assert np.isfinite(Projection.fit(constant, constant).matrix).all()


def test_round_trip(tmp_path: Path) -> None:
    fitted = Projection.fit(*descriptor_pairs(), dim=8, about={"on": "ä test"})
    fitted.save(tmp_path / "p.safetensors")
    loaded = Projection.load(tmp_path / "p.safetensors")
    assert loaded.about == {"on": "ä test"}
    assert (
        loaded.fingerprint
        == fitted.fingerprint
        != Projection.fit(*descriptor_pairs(seed=1), dim=8).fingerprint
    )
    d = descriptor_pairs()[0]
    np.testing.assert_allclose(loaded.apply(d), fitted.apply(d), atol=2e-3)


def test_errors_name_the_remedy(tmp_path: Path) -> None:
    fitted = Projection.fit(*descriptor_pairs(), dim=4)
    with pytest.raises(
        ValueError,
        match=r"shape \(3, 7\), the projection expects \(N, 20\); fit one .* `dift-geo calibrate`",
    ):
        fitted.apply(np.zeros((3, 7)))
    with pytest.raises(
        FileNotFoundError,
        match=r"no projection at .*x.safetensors; fit one with `dift-geo calibrate",
    ):
        Projection.load(tmp_path / "x.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"words")
    with pytest.raises(ValueError, match=r"bad.safetensors is no projection file"):
        Projection.load(tmp_path / "bad.safetensors")
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors is no projection file"):
        Projection.load(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="1 corresponding pairs, expected at least 2"):
        Projection.fit(np.zeros((1, 4)), np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"shapes \(3, 4\) and \(2, 4\), expected twice \(N, D\)"):
        PairStatistics().add(np.zeros((3, 4)), np.zeros((2, 4)))


def test_a_large_constant_orders_neighbours_by_mahalanobis_distance() -> None:
    """scipy's cdist with the inverse within-pair covariance, on all directions, is the oracle."""
    from scipy.spatial.distance import cdist

    d0, d1 = descriptor_pairs(dim=6)
    fitted = Projection.fit(d0, d1, dim=7, ridge=1e-6, constant=30.0)
    assert fitted.dim == 7
    within = (d0 - d1).T @ (d0 - d1) / (2 * len(d0))
    distance = cdist(d0[:80], d1[:80], "mahalanobis", VI=np.linalg.inv(within))
    rows0, rows1 = (np.asarray(fitted.apply(d[:80]), np.float64) for d in (d0, d1))
    np.testing.assert_array_equal((rows0 @ rows1.T).argmax(1), distance.argmin(1))


def test_the_constant_is_in_units_of_the_length_of_rows() -> None:
    d0, d1 = descriptor_pairs()
    fitted = Projection.fit(d0, d1, dim=9, constant=2.0)
    rows = (np.concatenate([d0, d1]) - fitted.mean) @ fitted.matrix
    assert rows.shape[1] == 8
    assert fitted.constant == 2.0
    assert fitted.length == pytest.approx(np.sqrt((rows**2).sum(1).mean()), rel=1e-4)
    applied = fitted.apply(d0)
    np.testing.assert_allclose(np.linalg.norm(applied, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        applied[:, :8] * (2 * fitted.length / applied[:, 8:]), rows[: len(d0)], rtol=1e-3, atol=1e-3
    )
    assert fitted.apply(fitted.mean[None])[0, 8] == pytest.approx(1)


def test_round_trip_with_a_constant(tmp_path: Path) -> None:
    fitted = Projection.fit(*descriptor_pairs(), dim=8, constant=1.5)
    fitted.save(tmp_path / "p.safetensors")
    loaded = Projection.load(tmp_path / "p.safetensors")
    assert (loaded.constant, loaded.length, loaded.dim) == (1.5, pytest.approx(fitted.length), 8)
    assert (
        loaded.fingerprint
        == fitted.fingerprint
        != Projection.fit(*descriptor_pairs(), dim=8, constant=1.0).fingerprint
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.full(6, np.nan, np.float32)}, "damaged: mean holds NaN or infinity"),
        ({"matrix": np.full((6, 3), np.inf, np.float16)}, "damaged: matrix holds NaN"),
        ({"mean": np.zeros(6, np.int64)}, "damaged: mean holds"),
        ({"mean": np.zeros(5, np.float32)}, "expected mean"),
        ({"mean": np.zeros((6, 1), np.float32)}, "expected mean"),
        ({"matrix": np.zeros(6, np.float16)}, "expected mean"),
        ({"matrix": np.zeros((6, 0), np.float16)}, "expected mean"),
        ({"constant": np.zeros(3, np.float32)}, "constant"),
        ({"constant": np.array([np.nan, 1], np.float32)}, "damaged: constant holds NaN"),
        ({"constant": np.array([-1, 1], np.float32)}, "damaged: its constant is -1"),
        ({"constant": np.array([1, 0], np.float32)}, "of length 0"),
    ],
)
def test_a_damaged_projection_is_refused(tmp_path, change, message) -> None:
    from safetensors.numpy import save_file

    whole = {"mean": np.ones(6, np.float32), "matrix": np.ones((6, 3), np.float16)}
    save_file(whole | change, tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match=message) as caught:
        Projection.load(tmp_path / "p.safetensors")
    assert "p.safetensors" in str(caught.value)


@pytest.mark.parametrize("about", ["{", "[1]", "[" * 100_000])
def test_a_projection_about_nothing_is_refused(tmp_path, about) -> None:
    from safetensors.numpy import save_file

    whole = {"mean": np.ones(6, np.float32), "matrix": np.ones((6, 3), np.float16)}
    save_file(whole, tmp_path / "p.safetensors", metadata={"about": about})
    with pytest.raises(ValueError, match="is no projection file"):
        Projection.load(tmp_path / "p.safetensors")


def test_a_projection_is_written_whole_or_not_at_all(tmp_path) -> None:
    fitted = Projection(np.ones(6, np.float32), np.ones((6, 3), np.float32), {})
    fitted.save(tmp_path / "p.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["p.safetensors"]
    with pytest.raises(OSError, match="cannot be written"):
        fitted.save(tmp_path / "nowhere" / "p.safetensors")


def test_a_flipped_bit_is_noticed(tmp_path) -> None:
    fitted = Projection(np.ones(6, np.float32), np.ones((6, 3), np.float32), {}, 1.5, 2.0)
    fitted.save(tmp_path / "p.safetensors")
    data = (tmp_path / "p.safetensors").read_bytes()
    for place in range(1, 6 * 4 + 6 * 3 * 2 + 8):
        flipped = bytearray(data)
        flipped[-place] ^= 4
        (tmp_path / "p.safetensors").write_bytes(flipped)
        with pytest.raises(ValueError, match="damaged"):
            Projection.load(tmp_path / "p.safetensors")
