"""The folder a reconstruction goes to: what is the user's stays, what is ours is replaced whole.

A folder is ours where our marker lies in it, or the summary of an earlier run. New results are made
in a scratch folder beside the old ones and take their place only when they stand. Stores look after
themselves by their recipes. Knows no COLMAP.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from dift_geo.errors import InputError, WriteError
from dift_geo.recipe import write_json

__all__ = ["Workspace"]

MARKER = ".dift-geo.json"  # says that the files named in `OURS` are results and may be replaced
SUMMARY = "summary.json"
OURS = ("database.db", "sparse", SUMMARY, "pairs.txt")
SCRATCH = ".dift-geo-scratch-"


class Workspace:
    """`OUT` of `dift-geo reconstruct`.

    given: files that the user handed over; one that lies in `out` is the user's and allowed there.
    Raises InputError when `out` is a file or the folder of photos itself, or holds results of
    another program under the names that this one writes: a COLMAP project, say.
    """

    def __init__(
        self, out: str | Path, images: str | Path | None = None, given: Iterable[str | Path] = ()
    ) -> None:
        self.out = Path(out)
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out} is a file, expected a folder for the results")
        if images is not None and self.out.resolve() == Path(images).resolve():
            raise InputError(f"{self.out} is the folder of photos; choose another for the results")
        if not self._is_ours():
            known = {Path(path).resolve() for path in given}
            present = [name for name in OURS if (self.out / name).exists()]
            strange = [name for name in present if (self.out / name).resolve() not in known]
            if strange:
                raise InputError(
                    f"{self.out} holds {', '.join(strange)} that dift-geo did not make; "
                    "choose another folder, nothing was changed"
                )

    def claim(self) -> None:
        """Make the folder and mark it as ours. What a killed run left half made is removed."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if not (self.out / MARKER).is_file():
                write_json(self.out / MARKER, {"made by": "dift-geo", "replaces": list(OURS)})
        except OSError as error:
            raise WriteError(f"{self.out} cannot be written: {error.strerror or error}") from error
        for left in self.out.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the same disk for what is not finished; nothing of it stays."""
        folder = Path(mkdtemp(prefix=SCRATCH, dir=self.out))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, scratch: Path, names: tuple[str, ...], summary: dict[str, object]) -> None:
        """Put the files and folders `names` of `scratch` in the place of the old ones.

        The summary speaks of what lies there: the old one goes first and the new one comes last.
        The old results go only after all new ones have their names.
        """
        old = scratch / "replaced"
        old.mkdir()
        (self.out / SUMMARY).unlink(missing_ok=True)
        for name in names:
            if (self.out / name).exists():
                (self.out / name).rename(old / name)
            (scratch / name).rename(self.out / name)
        write_json(self.out / SUMMARY, summary)

    def _is_ours(self) -> bool:
        if (self.out / MARKER).is_file():
            return True
        try:
            found = json.loads((self.out / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and "dift_geo" in found  # of 0.1
