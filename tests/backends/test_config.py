"""Settings as plain data: what is refused, what a recipe holds, the way through JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dift_geo.backends.config import (
    Dense,
    DiftConfig,
    Noise,
    Oriented,
    Reading,
    Upright,
    published,
    reading_named,
    settings_from_plain,
    settings_to_plain,
)
from dift_geo.errors import InputError


def test_paper_settings_are_the_published_ones() -> None:
    sd, adm = DiftConfig.paper("sd"), DiftConfig.paper("adm")
    reading = Dense(network_wh=(768, 768), resize="pillow", published_grid=True)
    assert sd.reading == adm.reading == reading
    assert (sd.t, sd.layers, sd.noise) == (0, (2,), Noise(ensemble=8, posterior=True))
    assert (adm.t, adm.layers, adm.noise) == (41, (11,), Noise(ensemble=4, posterior=True))
    with pytest.raises(InputError, match="expected sd or adm"):
        DiftConfig.paper("dino")  # type: ignore[arg-type]
    for name in (None, "dense"):
        assert published("sd", name) == sd
    with pytest.raises(InputError, match="reading is 'oriented' with the paper's settings"):
        published("adm", "oriented")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiftConfig(reading="sideways"), r"'sideways', expected Dense\(...\), Oriented\("),
        (lambda: DiftConfig(noise=True), r"noise is True, expected Noise\(...\) or None"),
        (lambda: DiftConfig(t=1000), "t is 1000, expected 0 to 999"),
        (lambda: DiftConfig(t=-1), "t is -1, expected 0 to 999"),
        (lambda: DiftConfig(layers=()), "layers is empty, expected at least one decoder block"),
        (lambda: DiftConfig(max_batch=0), "max_batch is 0, expected at least 1"),
        (lambda: Noise(ensemble=0), "ensemble is 0, expected at least 1"),
        (lambda: Oriented(extents=(8.0, 0.0)), r"\(8.0, 0.0\), expected one or more, all above 0"),
        (lambda: Oriented(extents=()), r"extents is \(\), expected one or more, all above 0"),
        (lambda: Oriented(tilt=0.5), r"tilt is 0.5, expected 1 \(none\) to 8"),
        (lambda: Oriented(grid=0), "grid is 0, expected at least 1"),
        (lambda: Oriented(patch_px=0), "patch_px is 0, expected at least 1"),
        (lambda: Upright(radii_px=(8.0, -1.0)), r"radii_px is \(8.0, -1.0\), expected one or more"),
        (lambda: Upright(tilt=9), r"tilt is 9, expected 1 \(none\) to 8"),
        (lambda: Dense(network_wh=(64, 0)), r"\(64, 0\), expected positive width and height"),
        (lambda: Dense(resize="nearest"), "resize is 'nearest', expected bilinear or pillow"),
        (
            lambda: reading_named("sideways"),
            "reading is 'sideways', expected dense, oriented, upright",
        ),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_fields_are_named_and_exist() -> None:
    with pytest.raises(TypeError):
        DiftConfig(timestep=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DiftConfig(Dense(), 3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Dense(grid=2)  # type: ignore[call-arg]


READINGS: dict[str, Reading] = {
    "dense": Dense(network_wh=(64, 128), published_grid=True),
    "oriented": Oriented(extents=(1 / 3, 7.0), tilt=5 / 3, grid=4, patch_px=64),
    "upright": Upright(radii_px=(1 / 3, 7.0), tilt=5 / 3, grid=4, patch_px=64),
}


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("noise", [None, Noise(ensemble=3, posterior=True, seed=4)])
def test_settings_survive_json(name: str, noise: Noise | None) -> None:
    config = DiftConfig(reading=READINGS[name], t=7, layers=(-2, 1), noise=noise, max_batch=9)
    plain = json.loads(json.dumps(settings_to_plain(config)))
    assert settings_from_plain(name, plain) == config


def test_fields_left_out_have_their_defaults() -> None:
    assert settings_from_plain("oriented", {}) == DiftConfig(reading=Oriented())
    assert settings_from_plain("dense", {"noise": {}}) == DiftConfig(noise=Noise())
    with pytest.raises(
        InputError, match="reading is 'sideways', expected dense, oriented, upright"
    ):
        settings_from_plain("sideways", {})


def test_the_recipe_holds_what_determines_descriptors() -> None:
    base = DiftConfig()
    assert replace(base, max_batch=3).recipe() == base.recipe()
    changes: list[dict[str, Any]] = [
        {"t": 5},
        {"layers": (0, 2)},
        {"noise": Noise()},
        {"noise": Noise(seed=4)},
        {"noise": Noise(posterior=True)},
        {"reading": Dense(network_wh=(64, 64))},
        {"reading": Dense(resize="pillow")},
        {"reading": Oriented()},
        {"reading": Oriented(extents=(6.0,))},
        {"reading": Oriented(tilt=2.0)},
        {"reading": Upright()},
        {"reading": Upright(radii_px=(6.0,))},
    ]
    recipes = [json.dumps(replace(base, **change).recipe()) for change in changes]
    assert len({*recipes, json.dumps(base.recipe())}) == len(changes) + 1
