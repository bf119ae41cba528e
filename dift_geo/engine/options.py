"""What a user can ask of where the work runs. Knows no work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dift_geo.backends.device import pick_device
from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.ray import Ray
from dift_geo.errors import InputError
from dift_geo.options import check_ranges, option

__all__ = ["EngineOptions"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work runs. Raises InputError for a value out of range or without a meaning."""

    engine: Literal["local", "ray"] = option(
        "local", "ray: workers on the machines of a Ray cluster"
    )
    address: str | None = option(
        None,
        "HOST:PORT of the cluster's head; default: the cluster that runs here, else these cores",
        metavar="ADDRESS",
    )
    worker_cpus: int | None = option(None, "cores of a worker, default 1", metavar="N", least=1)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, value in (("address", self.address), ("worker_cpus", self.worker_cpus)):
            if value is not None and self.engine != "ray":
                raise InputError(
                    f"{name} is {value}, but the engine is {self.engine!r}; "
                    f"use --engine ray or leave {name} out"
                )

    def build(self, device: str) -> tuple[Engine, str]:
        """The engine, and what a device means there.

        Raises InputError for a device that is not there, and what `Ray` raises.
        """
        if self.engine == "local":
            return Local(), str(pick_device(device))
        ray = Ray(self.address, cpus=self.worker_cpus or 1, device=device)
        return ray, ray.device
