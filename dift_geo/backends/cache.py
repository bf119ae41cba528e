"""What backbones keep on disk between runs: hashes of files and embedded prompts.

A cache that cannot be written is only slower. Knows neither models nor the hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "cache_folder",
    "configs_fingerprint",
    "file_sha256",
    "files_fingerprint",
    "write_cached",
]


def cache_folder() -> Path:
    """Where prompt embeddings, file hashes and hand-placed checkpoints live: $DIFT_GEO_CACHE or
    ~/.cache/dift_geo.
    """
    return Path(os.environ.get("DIFT_GEO_CACHE") or Path.home() / ".cache" / "dift_geo")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file.

    Free where the hub's cache names the file by it; else computed once and remembered.
    """
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    stat = blob.stat()
    key = f"{blob}|{stat.st_size}|{stat.st_mtime_ns}"
    memo = cache_folder() / "hashes" / hashlib.sha256(key.encode()).hexdigest()
    if memo.is_file():
        return memo.read_text(encoding="ascii")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    write_cached(memo, digest.hexdigest().encode("ascii"))
    return digest.hexdigest()


def files_fingerprint(files: Sequence[Path]) -> str:
    """A short hash of the content of files, in their order."""
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()[:16]


def configs_fingerprint(*configs: Mapping[str, object]) -> str:
    """A short hash of configurations, without their private entries: versions and paths."""
    digest = hashlib.sha256()
    for config in configs:
        public = {key: value for key, value in config.items() if not key.startswith("_")}
        digest.update(json.dumps(public, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def write_cached(path: Path, data: bytes) -> None:
    """Write a file that others see complete or not at all, or not, where the disk refuses."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
