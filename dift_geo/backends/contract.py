"""What is asked of a diffusion model.

A backend turns images into x0, knows its noise schedule, gives decoder features of a noisy x_t, and
knows the settings that suit it. It knows nothing of keypoints, descriptors or stores. Files of
backends import nothing of the package but its errors and each other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dift_geo.backends.config import DiftConfig, Effort, Mode, ReadingName, reading_named
from dift_geo.backends.tasks import Propagation, TaskName
from dift_geo.errors import InputError

__all__ = ["Backend"]


class Backend(Protocol):
    """Derive from it: what has a body here is the default.

    name: how messages and recipes call it; nothing is decided by it.
    multiple: sides of the images shown to it are multiples of this, in pixels.
    device: where its tensors live.
    """

    name: str
    multiple: int
    device: torch.device

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) in [0, 1] -> x0 (B, c, h, w), and its standard deviation of the same shape.

        The deviation is None where the encoder is not random.
        """

    @abstractmethod
    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t, a scalar in (0, 1]."""

    @abstractmethod
    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the blocks named, each (B, C, h, w); nothing past the deepest one is run."""

    @abstractmethod
    def recipe(self) -> dict[str, object]:
        """What determines the features: name, fingerprint of the weights, precision."""

    def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
        """The settings this model is meant to run with.

        reading: None takes the reading that suits it best.
        mode: `paper` gives settings that were published for it.
        Raises InputError where there are none.
        """
        if mode == "paper":
            raise InputError(f"no settings are published for {self.name}; use --mode default")
        return DiftConfig(reading=reading_named(reading or "dense"), max_batch=8)

    def projection(self, reading: ReadingName, beside: str | None) -> Path | None:
        """File of the projection that ships with the weights for a reading; None without one.

        beside: name of the describer whose rows go through the projection too.
        """
        return None

    def task_config(self, task: TaskName) -> DiftConfig:
        """How whole images are read for a task; by default as the dense reading is."""
        return self.settings("dense", "default")

    def propagation(self) -> Propagation:
        """How labels are carried through a video by its maps."""
        return Propagation()

    def prompted(self, prompt: str) -> Backend:
        """The same model told `prompt`; itself where it takes no text."""
        return self

    def at_effort(self, effort: Effort) -> Backend:
        """What gives like features at another price; itself for `default`.

        Raises InputError where there is nothing of that kind.
        """
        if effort != "default":
            raise InputError(
                f"effort is {effort!r}, but {self.name} has only its default one; "
                "leave --effort out"
            )
        return self
