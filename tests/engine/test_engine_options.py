"""Where the work runs: what is refused, and what it says. The cluster itself is in test_ray."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import textured
from counting import CountingExtractor

from dift_geo.cli import main
from dift_geo.engine.elsewhere import Elsewhere, extractor_for
from dift_geo.engine.local import Local
from dift_geo.engine.loops import extract_images
from dift_geo.engine.options import EngineOptions
from dift_geo.engine.steps import Unreadable
from dift_geo.engine.worker import Failed, Parcel, Worker
from dift_geo.errors import InputError, MissingFileError, RecipeError
from dift_geo.extractor import Extractor, ExtractorOptions
from dift_geo.images import write_image


def test_this_process_is_the_default() -> None:
    engine, device = EngineOptions().build("auto")
    assert isinstance(engine, Local)
    assert device in ("cpu", "cuda", "mps")
    assert isinstance(
        extractor_for(engine, ExtractorOptions(descriptor="rootsift"), "cpu"), Extractor
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--address", "a:1"], "address is a:1, but the engine is 'local'; use --engine ray"),
        (["--worker-cpus", "2"], "worker_cpus is 2, but the engine is 'local'"),
    ],
)
def test_what_only_a_cluster_has_is_refused_without(
    words: list[str], said: str, tmp_path: Path, capsys
) -> None:
    write_image(tmp_path / "a.png", textured((80, 60)))
    assert main(["extract", str(tmp_path), str(tmp_path / "f.h5"), *words]) == 1
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["extract", str(tmp_path), str(tmp_path / "f.h5"), "--worker-cpus", "0"])


@pytest.mark.parametrize(
    ("word", "count"),
    [("2GB", 2e9), ("500MB", 5e8), ("1.5g", 1.5e9), ("2000000", 2e6), ("1000 kB", 1e6)],
)
def test_memory_is_said_in_bytes(word: str, count: float) -> None:
    assert EngineOptions(memory=word).memory_bytes == count


@pytest.mark.parametrize("word", ["", "GB", "-2GB", "2PB", "0", "999kB", "1001TB", "1e9"])
def test_memory_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=r"memory is .*expected"):
        EngineOptions(memory=word)


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_image(tmp_path / "a.png", textured((80, 60)))
    assert main(["extract", str(tmp_path), str(tmp_path / "f.h5"), "--engine", "ray"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'dift-geo[ray]'" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "expected HOST:PORT of the head"),
        ("head", "expected HOST:PORT of the head"),
        ("127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9"),
        ("127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999"),
    ],
)
def test_an_address_without_cluster_is_told_at_once(address: str, said: str) -> None:
    """Ray itself tries for ten minutes."""
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        pytest.skip("joined already")
    with pytest.raises(InputError, match=said):
        EngineOptions(engine="ray", address=address).build("cpu")


class Blind:
    """An engine on a machine where the photos are not."""

    def map(self, function, items, load=None):
        for name in items:
            yield function(Unreadable(name, MissingFileError(f"no image at {name}")))


def test_a_photo_that_only_another_machine_cannot_read_is_not_skipped(
    tmp_path: Path, caplog
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    write_image(tmp_path / "b.png", textured((80, 60)))
    names = ["a.png", "b.png"]
    with pytest.raises(InputError, match=r"b.png can be read here, but not on the machine .*share"):
        extract_images(tmp_path, names, CountingExtractor(), tmp_path / "f.h5", engine=Blind())
    assert "skipped" in caplog.text  # which nobody can read


def test_a_machine_that_would_make_other_features_is_refused() -> None:
    options = ExtractorOptions(descriptor="rootsift", max_keypoints=50)
    picture = textured((160, 120))
    there = Elsewhere.of(options, Local())
    made = options.build()
    assert there.recipe() == made.recipe()
    rows = there.extract(picture, "a").descriptors
    assert rows.tolist() == made.extract(picture, "a").descriptors.tolist()
    other = Elsewhere(replace(options, max_keypoints=60), there.recipe())
    with pytest.raises(RecipeError, match=r"max_keypoints is 60, expected 50.*same packages"):
        other.extract(picture, "a")


class Odd(Exception):
    """Cannot be sent."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} of {two}")


def test_errors_travel() -> None:
    assert str(Failed.of(InputError("so")).error()) == "so"
    odd = Failed.of(Odd(1, 2)).error()
    assert type(odd) is RuntimeError
    assert str(odd) == "Odd: 1 of 2"


def test_a_worker_of_another_version_does_not_begin() -> None:
    parcel = Parcel.of(str.upper, None)
    worker = Worker(1)
    assert worker.start(parcel) is None
    assert worker.work(["a", "b"])[0] == ["A", "B"]
    refused = worker.start(replace(parcel, version="0.0"))
    assert isinstance(refused, Failed)
    assert "expected 0.0; install the same" in str(refused.error())
    refused = worker.start(replace(parcel, device="nonsense"))
    assert isinstance(refused, Failed)
    assert "device is 'nonsense'" in str(refused.error())
