"""Fetching HPatches, against a server on this machine that breaks off, lies and disappears."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
import zipfile

import pytest

from dift_geo.benchmark.homography import download as benchmark_download
from dift_geo.benchmark.homography.data import LARGE_SEQUENCES
from dift_geo.benchmark.homography.download import (
    HPATCHES_SEQUENCES,
    download_hpatches,
    missing_files,
)
from dift_geo.cli.main import main


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(benchmark_download, "PAUSE_SECONDS", 0.0)


def archive(sequences=("i_dome", "v_yuri", "v_talent")) -> bytes:
    """A zip in the layout of the release; incompressible, so that it is longer than one network
    buffer.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for sequence in sequences:
            for k in range(1, 7):
                pixels = b"".join(
                    hashlib.sha256(f"{sequence}{k}{i}".encode()).digest() for i in range(2000)
                )
                file.writestr(f"hpatches-sequences-release/{sequence}/{k}.ppm", pixels)
                if k > 1:
                    file.writestr(
                        f"hpatches-sequences-release/{sequence}/H_1_{k}", "1 0 0 0 1 0 0 0 1"
                    )
        file.writestr("../outside.txt", "no")
    return data.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content` with ranges; closes after `server.breaks` bytes while there are any
    in that list.
    """

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if self.path == "/moved.zip":
            self.send_response(302)
            self.send_header("Location", "/hpatches.zip")
            self.send_header("X-Linked-ETag", f'"{server.named}"')
            self.end_headers()
            return
        if self.path != "/hpatches.zip":
            self.send_error(404)
            return
        start = (
            int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"]).group(1))
            if server.ranges
            else 0
        )
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            rest = rest[: server.breaks.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A running server; `server.url` is the archive's address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.content, running.breaks, running.asked, running.ranges = archive(), [], [], True
        running.named = hashlib.sha256(running.content).hexdigest()
        running.url = f"http://127.0.0.1:{running.server_address[1]}/hpatches.zip"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def files(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


COMPLETE = {f"{s}/{k}.ppm" for s in ("i_dome", "v_yuri") for k in range(1, 7)} | {
    f"{s}/H_1_{k}" for s in ("i_dome", "v_yuri") for k in range(2, 7)
}


def test_the_list_of_sequences():
    assert len(set(HPATCHES_SEQUENCES)) == 116
    assert len(LARGE_SEQUENCES) == 8
    assert set(HPATCHES_SEQUENCES) >= LARGE_SEQUENCES
    kept = [name for name in HPATCHES_SEQUENCES if name not in LARGE_SEQUENCES]
    assert (sum(name[0] == "i" for name in kept), sum(name[0] == "v" for name in kept)) == (52, 56)


def test_fetches_unpacks_and_leaves_nothing_else(server, tmp_path):
    line = download_hpatches(tmp_path / "hp", url=server.url)
    assert files(tmp_path / "hp") == COMPLETE  # no large sequence, nothing outside, no archive
    assert "22 files" in line
    assert not (tmp_path / "outside.txt").exists()
    missing = missing_files(tmp_path / "hp")
    assert len(missing) == 106
    assert "i_dome" not in missing
    assert len(missing["v_wall"]) == 11


def test_large_sequences_on_request(server, tmp_path):
    download_hpatches(tmp_path, url=server.url, include_large=True)
    assert "v_talent/6.ppm" in files(tmp_path)


def test_goes_on_after_the_connection_breaks(server, tmp_path):
    server.breaks = [70_000, 1000]
    download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == COMPLETE
    assert server.asked == ["bytes=0-", "bytes=70000-", "bytes=71000-"]


def test_goes_on_in_the_next_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_download, "ATTEMPTS", 1)
    server.breaks = [70_000]
    with pytest.raises(OSError, match="run the same command again to go on"):
        download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == {"hpatches.zip.part"}
    download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == COMPLETE
    assert server.asked[-1] == "bytes=70000-"


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    server.ranges = False
    (tmp_path / "hpatches.zip.part").write_bytes(b"x" * 100)
    download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == COMPLETE


def test_a_complete_part_is_not_fetched_again(server, tmp_path):
    (tmp_path / "hpatches.zip.part").write_bytes(server.content)
    download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == COMPLETE
    assert len(server.asked) == 1


def test_another_file_on_the_server_starts_over(server, tmp_path):
    (tmp_path / "hpatches.zip.part").write_bytes(server.content + b"more")
    download_hpatches(tmp_path, url=server.url)
    assert files(tmp_path) == COMPLETE


def test_a_complete_folder_asks_nobody(server, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_download, "HPATCHES_SEQUENCES", ("i_dome", "v_yuri", "v_talent"))
    download_hpatches(tmp_path, url=server.url)
    server.asked.clear()
    assert "all sequences are in" in download_hpatches(tmp_path, url=server.url)
    assert server.asked == []


@pytest.mark.parametrize("how", ["named by the user", "named by the hub"])
def test_a_wrong_checksum_deletes_the_download(server, tmp_path, how):
    server.named = "0" * 64
    moved = server.url.replace("hpatches.zip", "moved.zip")
    options = (
        {"url": server.url, "sha256": "0" * 64} if how == "named by the user" else {"url": moved}
    )
    with pytest.raises(OSError, match=r"damaged \(SHA-256 [0-9a-f]{64}, expected 0{64}\)"):
        download_hpatches(tmp_path, **options)
    assert files(tmp_path) == set()


def test_the_hubs_checksum_is_used_and_fits(server, tmp_path):
    download_hpatches(tmp_path, url=server.url.replace("hpatches.zip", "moved.zip"))
    assert files(tmp_path) == COMPLETE


def test_damage_inside_the_archive_is_found(server, tmp_path):
    content = bytearray(server.content)
    content[5000] ^= 255  # in the pixels of the first image
    server.content = bytes(content)
    with pytest.raises(OSError, match="is damaged"):
        download_hpatches(tmp_path, url=server.url)
    assert not any(name.endswith(".zip") for name in files(tmp_path))


def test_a_dead_address_is_one_line(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark_download, "ATTEMPTS", 2)
    with pytest.raises(OSError, match="answers 404"):
        download_hpatches(tmp_path, url=server.url.replace("hpatches.zip", "gone.zip"))
    words = ["download", str(tmp_path), "--url", "http://127.0.0.1:9/x.zip"]
    assert main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert "could not download http://127.0.0.1:9/x.zip" in error[-1]


def test_the_command_says_what_is_still_missing(server, tmp_path, capsys):
    assert main(["download", str(tmp_path / "hp"), "--url", server.url]) == 0
    out = capsys.readouterr().out
    assert "22 files of HPatches" in out
    assert "106 sequences are incomplete" in out
    assert ["v_wall", "all"] in [line.split() for line in out.splitlines()]
