"""DIFT against schedulers, full forwards and readings by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.detectors.sift import Sift
from dift_geo.dift.config import DiftConfig
from dift_geo.dift.describer import Dift
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.noise import diffusion_features
from dift_geo.dift.patches import cut_patches
from dift_geo.dift.projection import Projection
from dift_geo.types import Keypoints


class Glass:
    """A backend one can see through: x0 is the image at stride 4, features of layer k are x_t + k."""

    name, multiple, device = "glass", 8, torch.device("cpu")

    def __init__(self) -> None:
        self.seen: list[Tensor] = []
        self.abar = torch.linspace(0.999, 0.01, 1000)

    def encode(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        assert images.shape[1] == 3
        assert images.shape[2] % self.multiple == images.shape[3] % self.multiple == 0
        return F.avg_pool2d(images, 4)

    def alpha_bar(self, t: int) -> Tensor:
        return self.abar[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        self.seen.append(x_t)
        return [x_t + layer for layer in layers]

    def recipe(self) -> dict[str, Any]:
        return {"name": self.name}


def dift(**changes: Any) -> Dift:
    return Dift(Glass(), Sift(max_keypoints=50), DiftConfig(**changes))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# the noise


@pytest.mark.parametrize("scheduler_name", ["DDIMScheduler", "DDPMScheduler"])
@pytest.mark.parametrize("t", [0, 1, 261, 999])
def test_x_t_equals_the_schedulers_add_noise(scheduler_name: str, t: int) -> None:
    import diffusers

    scheduler = getattr(diffusers, scheduler_name)(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    backend = Glass()
    backend.abar = scheduler.alphas_cumprod
    images = torch.rand(2, 3, 16, 24, generator=generator(1))
    diffusion_features(backend, images, t=t, layers=[0], noisy=True, generator=generator())
    x0 = backend.encode(images, None)
    noise = torch.randn(x0.shape, generator=generator())
    torch.testing.assert_close(
        backend.seen[0], scheduler.add_noise(x0, noise, torch.tensor([t, t]))
    )


def test_ensemble_is_the_mean_of_its_draws() -> None:
    backend, images = Glass(), torch.rand(1, 3, 16, 16, generator=generator(1))
    shared = generator()
    draws = [
        diffusion_features(backend, images, t=500, layers=[0, 3], noisy=True, generator=shared)
        for _ in range(4)
    ]
    together = diffusion_features(
        backend, images, t=500, layers=[0, 3], noisy=True, ensemble=4, generator=generator()
    )
    for k in range(2):
        torch.testing.assert_close(together[k], torch.stack([draw[k] for draw in draws]).mean(0))
    assert not torch.equal(backend.seen[0], backend.seen[1])


def test_without_noise_the_image_goes_in_once() -> None:
    backend, images = Glass(), torch.rand(1, 3, 16, 16, generator=generator(1))
    (features,) = diffusion_features(backend, images, t=500, layers=[0])
    assert len(backend.seen) == 1
    torch.testing.assert_close(features, backend.encode(images, None))


def test_noise_is_seeded_by_name_and_seed(picture: np.ndarray) -> None:
    def noise(name: str | None, seed: int = 0) -> Tensor:
        extractor = dift(noisy=True, t=900, seed=seed)
        extractor.extract(picture, name)
        return extractor.backend.seen[0]  # type: ignore[attr-defined]

    assert torch.equal(noise("a.jpg"), noise("a.jpg"))
    assert not torch.equal(noise("a.jpg"), noise("b.jpg"))
    assert not torch.equal(noise("a.jpg"), noise("a.jpg", seed=1))
    assert torch.equal(noise(None), noise(None))  # by the pixels


def test_a_resumed_run_equals_an_uninterrupted_one(texture) -> None:
    """Nothing carries over from one image to the next, nor from the global random state."""
    images = {f"{i}.jpg": texture((96, 80), i) for i in range(3)}
    whole = dift(noisy=True, t=300, ensemble=2)
    first = {name: whole.extract(image, name) for name, image in images.items()}
    torch.manual_seed(7)
    resumed = dift(noisy=True, t=300, ensemble=2)
    for name in ("2.jpg", "1.jpg"):
        np.testing.assert_array_equal(
            resumed.extract(images[name], name).descriptors, first[name].descriptors
        )


def test_two_patches_and_two_images_get_different_noise(picture: np.ndarray) -> None:
    """A shared noise field would make descriptors match by their noise."""
    flat = np.full_like(picture, 128)
    keypoints = Sift(max_keypoints=6).detect(picture)
    extractor = dift(reading="oriented", noisy=True, t=999, max_batch=4)
    extractor.describe(flat, keypoints, "a")
    extractor.describe(flat, keypoints, "b")
    patches = torch.cat(extractor.backend.seen).flatten(1)  # type: ignore[attr-defined]
    assert len(patches) == 2 * len(keypoints) == 12
    correlation = torch.corrcoef(patches) - torch.eye(12)
    assert correlation.abs().max() < 0.5


# the readings


@pytest.mark.parametrize("size_wh", [(96, 80), (101, 67)])
def test_dense_reading_by_hand(texture, size_wh: tuple[int, int]) -> None:
    image = texture(size_wh)
    keypoints = Keypoints(np.array([[10.0, 20.0], [50.5, 33.25], [0, 0]]), np.ones(3), size_wh)
    raw = dift(layers=(0, 2)).raw_descriptors(image, keypoints, "a")
    w, h = (round(side / 8) * 8 for side in size_wh)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    x0 = F.avg_pool2d(F.interpolate(tensor, (h, w), mode="bilinear", antialias=True), 4)
    parts = [
        FeatureMap(x0[0] + layer, size_wh).sample(torch.from_numpy(keypoints.xy)).numpy()
        for layer in (0, 2)
    ]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    np.testing.assert_allclose(raw, np.concatenate(parts, 1), atol=1e-5)
    unit = dift(layers=(0, 2)).describe(image, keypoints, "a")
    np.testing.assert_allclose(unit, raw / np.sqrt(2), atol=1e-5)


def test_dense_reading_at_an_exact_network_size(picture: np.ndarray) -> None:
    extractor = dift(network_wh=(64, 128))
    extractor.extract(picture, "a")
    assert extractor.backend.seen[0].shape == (1, 3, 32, 16)  # type: ignore[attr-defined]


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_oriented_reading_by_hand(picture: np.ndarray, grid: int) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    raw = dift(reading="oriented", patch_px=32, grid=grid).raw_descriptors(picture, keypoints, "a")
    # + layer 2
    x0 = F.avg_pool2d(cut_patches(picture, keypoints, 32, 8.0).expand(-1, 3, -1, -1), 4)
    cells = (x0 + 2).numpy()
    if grid == 1:  # the centre of an even map lies between its four middle cells
        expected = cells[:, :, 3:5, 3:5].mean((2, 3))
    else:
        expected = cells.reshape(5, 3, grid, 8 // grid, grid, 8 // grid).mean((3, 5)).reshape(5, -1)
    np.testing.assert_allclose(
        raw, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )


def test_features_are_averaged_over_extents_and_tilts(picture: np.ndarray) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    views = [(6.0, 1.5), (6.0, 1 / 1.5), (15.0, 1.5), (15.0, 1 / 1.5)]
    patches = [
        cut_patches(picture, keypoints, 32, extent, tilt).expand(-1, 3, -1, -1)
        for extent, tilt in views
    ]
    for layers in ((2,), (0, 2)):
        extractor = dift(reading="oriented", grid=4, layers=layers, extents=(6.0, 15.0), tilt=1.5)
        raw = extractor.raw_descriptors(picture, keypoints, "a")
        parts = []
        for layer in layers:  # the fake network pools by 4 and adds the layer's number
            cells = np.mean(
                [
                    F.avg_pool2d(F.avg_pool2d(patch, 4) + layer, 2).flatten(1).numpy()
                    for patch in patches
                ],
                0,
            )
            parts.append(cells / np.linalg.norm(cells, axis=1, keepdims=True))
        np.testing.assert_allclose(raw, np.concatenate(parts, 1), atol=1e-5)


def test_rows_of_another_describer_stand_beside_and_go_through_the_projection(
    picture: np.ndarray,
) -> None:
    sift = Sift(max_keypoints=12)
    keypoints = sift.detect(picture)
    alone = dift(reading="oriented", grid=2)
    both = alone.beside_of(sift, None)
    raw = both.raw_descriptors(picture, keypoints, "a")
    expected = [alone.raw_descriptors(picture, keypoints, "a"), sift.describe(picture, keypoints)]
    np.testing.assert_array_equal(raw, np.concatenate(expected, 1))
    assert both.recipe() != alone.recipe()
    fitted = Projection.fit(raw, raw + np.random.default_rng(0).normal(0, 0.1, raw.shape), dim=5)
    np.testing.assert_allclose(
        alone.beside_of(sift, fitted).describe(picture, keypoints, "a"),
        fitted.apply(raw),
        atol=1e-6,
    )
    assert both.with_config(grid=1).beside is sift


def test_a_map_smaller_than_the_grid_keeps_its_own_cells(picture: np.ndarray) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    # the map has 8 x 8 cells
    coarse = dift(reading="oriented", grid=16).raw_descriptors(picture, keypoints, "a")
    np.testing.assert_array_equal(
        coarse, dift(reading="oriented", grid=8).raw_descriptors(picture, keypoints, "a")
    )


@pytest.mark.parametrize("reading", ["dense", "oriented"])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_empty_one_many(picture: np.ndarray, reading: str, n: int) -> None:
    extractor = dift(reading=reading, max_batch=3)
    keypoints = Sift(max_keypoints=20).detect(picture)[:n]
    assert extractor.describe(picture, keypoints).shape == (n, 3)


@pytest.mark.parametrize("noisy", [False, True])
def test_batches_do_not_change_results(picture: np.ndarray, tiny, noisy: bool) -> None:
    keypoints = Sift(max_keypoints=9).detect(picture)
    one, two = (
        Dift(
            tiny,
            Sift(),
            DiftConfig(reading="oriented", t=100, layers=(0, 1), noisy=noisy, max_batch=batch),
            None,
        )
        for batch in (100, 4)
    )
    np.testing.assert_allclose(
        one.describe(picture, keypoints, "a"), two.describe(picture, keypoints, "a"), atol=1e-4
    )


def test_keypoints_come_in_the_frame_of_the_given_image(texture) -> None:
    image = texture((400, 300))
    small = Dift(Glass(), Sift(max_keypoints=50), DiftConfig(), size=200).extract(image, "a")
    assert small.keypoints.size_wh == (400, 300)
    assert small.keypoints.xy[:, 0].max() > 200
    from dift_geo.images import resize_longest

    direct = Sift(max_keypoints=50).detect(resize_longest(image, 200))
    np.testing.assert_allclose(small.keypoints.xy, 2 * direct.xy + 0.5, atol=1e-3)
    np.testing.assert_allclose(small.keypoints.scale, 2 * direct.scale, rtol=1e-5)


@pytest.mark.parametrize("size_wh", [(1, 1), (640, 3), (50, 40)])
@pytest.mark.parametrize("reading", ["dense", "oriented"])
def test_images_without_keypoints(size_wh: tuple[int, int], reading: str) -> None:
    features = dift(reading=reading).extract(np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
    assert len(features) == 0
    assert features.descriptors.shape == (0, 3)
    assert features.keypoints.size_wh == size_wh


def test_a_projection_is_applied(picture: np.ndarray) -> None:
    plain = dift(reading="oriented", grid=2)
    raw = plain.raw_descriptors(picture, keypoints := plain.detector.detect(picture), "a")
    fitted = Projection.fit(raw[:-1], raw[1:], dim=5)
    projected = Dift(Glass(), Sift(max_keypoints=50), plain.config, fitted)
    np.testing.assert_allclose(
        projected.describe(picture, keypoints, "a"), fitted.apply(raw), atol=1e-6
    )
    assert projected.recipe()["dift"]["projection"] == fitted.fingerprint
    assert projected.with_config(grid=1).projection is None


# settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reading": "sideways"}, "reading is 'sideways', expected dense or oriented"),
        ({"t": 1000}, "t is 1000, expected 0 to 999"),
        ({"t": -1}, "t is -1, expected 0 to 999"),
        ({"layers": ()}, "layers is empty, expected at least one decoder block"),
        ({"ensemble": 0}, "ensemble is 0, expected at least 1"),
        ({"extents": (8.0, 0.0)}, r"extents is \(8.0, 0.0\), expected one or more, all above 0"),
        ({"extents": ()}, r"extents is \(\), expected one or more, all above 0"),
        ({"tilt": 0.5}, r"tilt is 0.5, expected 1 \(none\) to 8"),
        ({"grid": 0}, "grid is 0, expected at least 1"),
        ({"ensemble": 4}, "ensemble is 4 without noise, expected 1"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiftConfig(**change)
    with pytest.raises(TypeError):
        DiftConfig(timestep=3)  # type: ignore[call-arg]


def test_the_recipe_holds_what_determines_descriptors() -> None:
    base = dift().recipe()
    assert dift(max_batch=3).recipe() == base
    for change in (
        {"t": 5},
        {"layers": (0, 2)},
        {"seed": 4},
        {"extents": (6.0,)},
        {"tilt": 2.0},
        {"noisy": True},
        {"network_wh": (64, 64)},
    ):
        assert dift(**change).recipe() != base
