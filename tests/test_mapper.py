"""Maps of whole images: options, models side by side, the size that is shown."""

from __future__ import annotations

import pytest
import torch

from dift_geo.backends.config import Noise
from dift_geo.errors import InputError
from dift_geo.mapper import MapOptions, Mapper
from dift_geo.testing import FakeBackend


def test_several_models_stand_side_by_side(picture):
    one, two = FakeBackend(seed=0), FakeBackend(seed=1)
    parts = tuple((backend, backend.task_config("semantic")) for backend in (one, two))
    joined = Mapper(parts).map(picture, "a").values
    alone = [Mapper((part,)).map(picture, "a").values for part in parts]
    unit = [values / values.norm(dim=0) for values in alone]
    assert torch.allclose(joined, torch.cat(unit), atol=1e-6)
    with pytest.raises(InputError, match="t and layer are of one model"):
        MapOptions(backend="tiny+tiny", t=3).build("semantic")
    with pytest.raises(InputError, match=r"expected a name or A\+B"):
        MapOptions(backend="tiny+").build("semantic")
    assert MapOptions(backend="still").build("video").still


def test_options_overrule_the_settings_of_the_task():
    mapper = MapOptions(t=7, layer=2, ensemble=3, side=64, seed=5, max_batch=2).build("semantic")
    ((_, config),) = mapper.parts
    assert (config.t, config.layers, config.max_batch) == (7, (2,), 2)
    assert config.noise == Noise(ensemble=3, seed=5)
    assert config.reading.network_wh == (64, 64)
    ((_, clean),) = MapOptions(ensemble=0).build("semantic").parts
    assert clean.noise is None
    ((random, _),) = MapOptions(random_weights=3).build("video").parts
    assert random.recipe()["weights"] == "random-3"
    with pytest.raises(InputError, match="t is 1000"):
        MapOptions(t=1000)


def test_a_mapper_that_looks_at_nothing_has_no_map(picture):
    with pytest.raises(InputError, match="looks at nothing"):
        Mapper(()).map(picture, "a")
    assert Mapper(()).recipe() == {"maps": "still"}
