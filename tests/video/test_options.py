"""What can be asked of propagation: nothing leaves what suits the model."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from dift_geo.backends.tasks import JOINTS, Propagation
from dift_geo.errors import InputError
from dift_geo.options import option_names
from dift_geo.video.options import PropagationOptions


def test_nothing_asked_is_what_suits_the_model():
    for usual in (Propagation(), JOINTS):
        assert PropagationOptions().changed(usual) == usual


def test_each_is_the_field_of_its_name():
    own = {"top_k": 3, "radius": 0, "frames": 0, "temperature": 0.5, "short_side": 240}
    assert list(own) == option_names(PropagationOptions)
    usual = asdict(JOINTS)
    assert asdict(PropagationOptions(**own).changed(JOINTS)) == {**usual, **own}
    for name, value in own.items():
        found = asdict(PropagationOptions(**{name: value}).changed(JOINTS))
        assert found == {**usual, name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("top_k", 0), ("radius", -1), ("frames", -1), ("short_side", 8)],
        *[("temperature", 0.0), ("temperature", float("nan"))],
    ],
)
def test_numbers_out_of_range(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}, expected at least"):
        PropagationOptions(**{name: value})
