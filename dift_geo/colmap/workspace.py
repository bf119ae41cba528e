"""The folder a reconstruction goes to: what is the user's stays, what is ours is replaced whole.

Ours is what an earlier run recorded in the marker and nobody has changed since. New results are
made in a scratch folder beside the old ones and take their place only when they stand; a kill in
the middle of that is made good by the next run. Stores look after themselves by their recipes.
Knows no COLMAP.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from dift_geo.colmap.records import COMPANIONS, Record, is_recorded, record
from dift_geo.errors import InputError, StoreError, WriteError
from dift_geo.jsonfiles import parse_json
from dift_geo.recipe import write_json
from dift_geo.store.interrupts import signals_wait
from dift_geo.store.lock import WriterLock

__all__ = ["Workspace"]

MARKER = ".dift-geo.json"  # records the results, by path below the folder
SUMMARY = "summary.json"
RESULTS = (SUMMARY, "pairs.txt", "database.db", "sparse")
SCRATCH = ".dift-geo-scratch-"
COMMIT = "stands.json"  # in a scratch folder: its results are whole and are to be published
REPLACED = "replaced"  # in a scratch folder: the old ones
FIRST_VERSION = (  # its files, which it did not record
    *(SUMMARY, "pairs.txt", "database.db"),
    *(f"sparse/{part}.bin" for part in ("cameras", "frames", "images", "points3D", "rigs")),
)
Records = Mapping[str, list[Record]]  # files that are known, in any of some versions, by path


class Workspace:
    """`OUT` of `dift-geo reconstruct`.

    given: files that the user handed over; they may lie in `out`, and what is not ours stays.

    Raises InputError when `out` is a file or the folder of photos itself, or holds, under the names
    that this program writes, what it did not make: a COLMAP project, say, or a changed database.
    """

    def __init__(
        self, out: str | Path, images: str | Path | None = None, given: Iterable[str | Path] = ()
    ) -> None:
        self.out = Path(out)
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out} is a file, expected a folder for the results")
        if images is not None and self.out.resolve() == Path(images).resolve():
            raise InputError(f"{self.out} is the folder of photos; choose another for the results")
        theirs = {Path(path).resolve() for path in given if self._strangers([Path(path).name])}
        self._names = [name for name in RESULTS if (self.out / name).resolve() not in theirs]
        self._refuse_strangers()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The folder is made and no other run may use it. What a killed run left is settled."""
        marker = self.out / MARKER
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if not marker.is_file():
                write_json(marker, _marked(self._records()))
        except OSError as error:
            raise WriteError(f"{self.out} cannot be written: {error.strerror or error}") from error
        try:
            lock = WriterLock(marker)
        except StoreError as error:
            raise StoreError(
                f"{self.out} is in use by another run of dift-geo; wait for it or choose another "
                "folder"
            ) from error
        try:
            for left in self.out.glob(f"{SCRATCH}*"):
                if (left / COMMIT).is_file():
                    self._move(left)
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            lock.release()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the same disk for what is not finished; nothing of it stays."""
        folder = Path(mkdtemp(prefix=SCRATCH, dir=self.out))
        try:
            yield folder
        finally:
            if not (folder / COMMIT).exists():  # else the next run goes on with it
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, scratch: Path, summary: Mapping[str, object]) -> None:
        """Put the results that lie in `scratch` in the place of all old ones.

        The summary speaks of what lies there: the old one goes first and the new one comes last.
        """
        self._refuse_strangers()  # hours may have passed
        write_json(scratch / SUMMARY, summary)
        new = {
            path: [record(scratch / path)]
            for name in self._names
            for path in _files_of(scratch, name)
        }
        old = self._records()
        with signals_wait():
            either = {path: [*old.get(path, []), *new.get(path, [])] for path in {**old, **new}}
            write_json(self.out / MARKER, _marked(either))
            write_json(scratch / COMMIT, _marked(new))
            self._move(scratch)

    def _move(self, scratch: Path) -> None:
        """Publish, or go on publishing where a kill stopped it."""
        new = parse_json((scratch / COMMIT).read_bytes())
        replaced = scratch / REPLACED
        replaced.mkdir(exist_ok=True)
        placed = {Path(path).parts[0] for path in new["results"]}
        try:
            for name in self._names:
                if name not in placed or (scratch / name).exists():
                    for part in (name, *(f"{name}{end}" for end in COMPANIONS)):
                        if os.path.lexists(self.out / part):
                            (self.out / part).rename(replaced / part)
            for name in reversed(self._names):
                if (scratch / name).exists():
                    (scratch / name).rename(self.out / name)
        except OSError as error:
            raise WriteError(
                f"{self.out} cannot be written: {error.strerror or error}; the finished results "
                f"are in {scratch} until the next run puts them in their place"
            ) from error
        write_json(self.out / MARKER, new)
        (scratch / COMMIT).unlink()

    def _strangers(self, names: Iterable[str]) -> list[str]:
        """Files under the names of results that are not ours as they are now."""
        known = self._records()
        return [
            path
            for name in names
            for path in _files_of(self.out, name)
            if not any(is_recorded(self.out / path, one) for one in known.get(path, []))
        ]

    def _refuse_strangers(self) -> None:
        strange = self._strangers(self._names)
        if not strange:
            return
        known = self._records()
        changed = all(path in known for path in strange)
        told = ", ".join(sorted({_shown(path, known) for path in strange}))
        raise InputError(
            f"{self.out} holds {told} that "
            f"{'was changed since dift-geo made it' if changed else 'dift-geo did not make'}; "
            "choose another folder, nothing was changed"
        )

    def _records(self) -> Records:
        """The files that are ours."""
        try:
            marker = parse_json((self.out / MARKER).read_bytes())
            return dict(marker["results"])
        except (OSError, ValueError, LookupError, TypeError):
            pass
        try:
            summary = parse_json((self.out / SUMMARY).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(summary, dict) or "dift_geo" not in summary:
            return {}
        there = [path for path in FIRST_VERSION if (self.out / path).is_file()]
        return {path: [record(self.out / path)] for path in there}


def _marked(records: Records) -> dict[str, object]:
    return {"made by": "dift-geo", "results": records}


def _shown(path: str, known: Records) -> str:
    """A path as the user is told it: the whole folder where nothing in it is known."""
    top = Path(path).parts[0]
    ours = any(Path(one).parts[0] == top for one in known)
    return path if ours else top


def _files_of(folder: Path, name: str) -> list[str]:
    """The files of a result, by their paths below the folder."""
    place = folder / name
    if place.is_symlink() or not place.is_dir():
        return [name] if os.path.lexists(place) else []
    found = (path for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)
