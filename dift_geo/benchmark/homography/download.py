"""Fetch HPatches: resumable, checked, unpacked without the sequences that no protocol uses.

Knows where the images are kept and which there should be; nothing of scoring.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import time
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO

from dift_geo.benchmark.homography.data import IMAGES_PER_SEQUENCE, LARGE_SEQUENCES, image_of
from dift_geo.errors import WriteError
from dift_geo.progress import progress

__all__ = ["HPATCHES_SEQUENCES", "HPATCHES_URL", "download_hpatches", "missing_files"]

# The address of the paper (icvl.ee.ic.ac.uk) is dead; this is the authors' present one
# (glue-factory pull request 129).
HPATCHES_URL = (
    "https://huggingface.co/datasets/vbalnt/hpatches/resolve/main/hpatches-sequences-release.zip"
)
ATTEMPTS = 5
PAUSE_SECONDS = 2.0  # before the second attempt, doubled before each further one
CHUNK = 1 << 20
_ILLUMINATION = """
ajuntament autannes bologna books boutique bridger brooklyn castle chestnuts contruction crownday
crownnight dc dome duda fenis fog fruits gonnenberg greenhouse greentea indiana kions ktirio
kurhaus leuven lionday lionnight londonbridge melon miniature nescafe nijmegen nuts objects
parking partyfood pencils pinard pool porta resort salon santuario school ski smurf steps table
tools toy troulos veggies village whitebuilding yellowtent zion
"""
_VIEWPOINT = """
abstract adam apprentices artisans astronautis azzola bark bees beyus bip bird birdwoman blueprint
boat bricks busstop calder cartooncity charing churchill circus coffeehouse colors courses
dirtywall dogman eastsouth feast fest gardens grace graffiti home laptop london machines man
maskedman pomegranate posters samples soldiers strand sunseason tabletop talent tempera there
underground vitro wall wapping war weapons woman wormhole wounded yard yuri
"""
# 57 + 59 names as in `splits.json` of hpatches-benchmark; without the large ones, 52 + 56.
HPATCHES_SEQUENCES = tuple(
    [f"i_{name}" for name in _ILLUMINATION.split()] + [f"v_{name}" for name in _VIEWPOINT.split()]
)


def missing_files(folder: str | Path, include_large: bool = False) -> dict[str, list[str]]:
    """What a folder lacks of HPatches: sequence -> names of its missing images and homographies."""
    wanted = [name for name in HPATCHES_SEQUENCES if include_large or name not in LARGE_SEQUENCES]
    lacking = {name: _missing_of(Path(folder) / name) for name in wanted}
    return {name: gone for name, gone in lacking.items() if gone}


def _missing_of(place: Path) -> list[str]:
    numbers = range(1, IMAGES_PER_SEQUENCE + 1)
    truth = [f"H_1_{k}" for k in numbers[1:]]
    return [
        *(str(k) for k in numbers if image_of(place, k) is None),
        *(name for name in truth if not (place / name).is_file()),
    ]


def download_hpatches(
    folder: str | Path,
    *,
    url: str = HPATCHES_URL,
    sha256: str | None = None,
    include_large: bool = False,
) -> str:
    """Bring the sequences into `folder`; does nothing when all are there. Returns one line on what
    was done.

    An interrupted download goes on where it stopped. Raises WriteError when the server cannot be
    reached or the archive is damaged.

    folder: made where it is not there.
    url: of the archive.
    sha256: that it must have; None takes the one that the server names (the Hub does). Its length
        and the CRC of every file in it are always checked.
    include_large: also the eight sequences that protocols leave out.
    """
    folder = Path(folder)
    if not missing_files(folder, include_large):
        return f"all sequences are in {folder}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / PurePosixPath(url).name
    if not archive.is_file():
        _fetch(url, archive, sha256)
    count = _unpack(archive, folder, include_large)
    archive.unlink()
    return f"{count} files of HPatches -> {folder}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the headers met on the way: the Hub names the checksum on the
    first answer.
    """

    def __init__(self) -> None:
        self.seen: list[Message] = []

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.seen.append(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, archive: Path, sha256: str | None) -> None:
    """Download to `archive` by way of a `.part` file, from its end where there is one."""
    part = archive.with_name(archive.name + ".part")
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            length, named = _fetch_rest(url, part)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410):
                raise WriteError(
                    f"{url} answers {error.code} {error.reason}; give another address by --url"
                ) from error
            problem = str(error) or type(error).__name__
            continue
        if length is None or part.stat().st_size >= length:
            _check(part, length, sha256 or named, url)
            part.rename(archive)
            return
        problem = f"the connection closed after {part.stat().st_size} of {length} bytes"
    raise WriteError(
        f"could not download {url}: {problem}; "
        "run the same command again to go on from where it stopped"
    )


def _fetch_rest(url: str, part: Path) -> tuple[int | None, str | None]:
    """Append what is still to come; returns the full length and the SHA-256 that the server names,
    where it does.
    """
    have = part.stat().st_size if part.exists() else 0
    redirects = _Redirects()
    request = urllib.request.Request(
        url, headers={"Range": f"bytes={have}-", "User-Agent": "dift-geo"}
    )
    try:
        answer = urllib.request.build_opener(redirects).open(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after the end: it is complete, or another file
            total = re.search(r"/(\d+)$", error.headers.get("Content-Range", ""))
            if total is None or int(total.group(1)) == have:
                return have, _named_sha256([*redirects.seen, error.headers])
            part.unlink()
            raise WriteError("the file on the server has changed") from error
        raise
    with answer:
        resumed = answer.status == 206
        rest = answer.headers.get("Content-Length")
        length = None if rest is None else int(rest) + (have if resumed else 0)
        begun = have if resumed else 0
        bar = progress(None, "download", unit="B", total=length, done=begun, bytes_of=True)
        with bar, part.open("ab" if resumed else "wb") as file:
            while block := answer.read(CHUNK):
                file.write(block)
                bar.update(len(block))
        return length, _named_sha256([*redirects.seen, answer.headers])


def _named_sha256(headers: list[Message]) -> str | None:
    for header in headers:
        for field in ("X-Linked-ETag", "ETag"):
            found = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', header.get(field) or "")
            if found:
                return found.group(1)
    return None


def _check(part: Path, length: int | None, sha256: str | None, url: str) -> None:
    """Raise OSError and drop the file when it is not what the server or the user says it is."""
    size = part.stat().st_size
    wrong = f"{size} bytes, expected {length}" if length is not None and size != length else ""
    if not wrong and sha256 is not None:
        digest = hashlib.sha256()
        with part.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
        if digest.hexdigest() != sha256.lower():
            wrong = f"SHA-256 {digest.hexdigest()}, expected {sha256.lower()}"
    if wrong:
        part.unlink()
        raise WriteError(
            f"the download of {url} is damaged ({wrong}) and was deleted; run the command again"
        )


def _unpack(archive: Path, folder: Path, include_large: bool) -> int:
    """Unpack images and homographies of the wanted sequences, each sequence whole or not at all;
    returns files written.
    """
    count = 0
    try:
        with zipfile.ZipFile(archive) as file:
            members: dict[str, list[zipfile.ZipInfo]] = {}
            for info in file.infolist():
                path = PurePosixPath(info.filename)
                if not info.is_dir() and path.parent.name in HPATCHES_SEQUENCES:
                    members.setdefault(path.parent.name, []).append(info)
            for sequence, infos in progress(sorted(members.items()), "unpack", unit="sequence"):
                if sequence in LARGE_SEQUENCES and not include_large:
                    continue
                count += _unpack_sequence(file, infos, folder / sequence)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise WriteError(
            f"{archive} is damaged ({error}) and was deleted; run the command again"
        ) from error
    return count


def _unpack_sequence(file: zipfile.ZipFile, infos: list[zipfile.ZipInfo], target: Path) -> int:
    aside = target.with_name(target.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for info in infos:
        with (
            file.open(info) as source,
            (aside / PurePosixPath(info.filename).name).open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy)  # reading to the end checks the CRC
    target.mkdir(exist_ok=True)
    for path in aside.iterdir():
        path.replace(target / path.name)
    aside.rmdir()
    return len(infos)
