"""What a user can ask of where the work runs. Knows no work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dift_geo.backends.device import pick_device
from dift_geo.engine.contract import Engine
from dift_geo.engine.local import Local
from dift_geo.engine.ray import Ray
from dift_geo.errors import InputError
from dift_geo.options import check_ranges, option

__all__ = ["EngineOptions"]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LEAST, MOST = 10**6, 10**15


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
    memory: str = option(
        "1GB", "features kept at hand while pairs are matched, in each process", metavar="BYTES"
    )
    worker_cpus: int | None = option(None, "cores of a worker, default 1", metavar="N", least=1)

    def __post_init__(self) -> None:
        check_ranges(self)
        if not LEAST <= self.memory_bytes <= MOST:
            raise InputError(f"memory is {self.memory}, expected 1MB to 1000TB")
        for name, value in (("address", self.address), ("worker_cpus", self.worker_cpus)):
            if value is not None and self.engine != "ray":
                raise InputError(
                    f"{name} is {value}, but the engine is {self.engine!r}; "
                    f"use --engine ray or leave {name} out"
                )

    @property
    def memory_bytes(self) -> int:
        """As a number. Raises InputError for what is none."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", self.memory.strip(), re.I)
        if found is None:
            raise InputError(f"memory is {self.memory!r}, expected such as 500MB or 2GB")
        return int(float(found[1]) * UNITS[found[2].upper()])

    def build(self, device: str) -> tuple[Engine, str]:
        """The engine, and what a device means there.

        Raises InputError for a device that is not there, and what `Ray` raises.
        """
        if self.engine == "local":
            return Local(), str(pick_device(device))
        ray = Ray(self.address, cpus=self.worker_cpus or 1, device=device)
        return ray, ray.device
