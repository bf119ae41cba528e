"""The engine on a real cluster: one head that computes nothing and two nodes, on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import sent
import torch
from conftest import ROOT, textured
from counting import CountingExtractor

from dift_geo.cli import main
from dift_geo.engine import crew
from dift_geo.engine import options as options_file
from dift_geo.engine import ray as engine_file
from dift_geo.engine.elsewhere import extractor_for
from dift_geo.engine.local import Local
from dift_geo.engine.loops import extract_images, match_pairs
from dift_geo.engine.ray import Ray
from dift_geo.errors import InputError, WorkersError
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import write_image
from dift_geo.stop import Terminated
from dift_geo.store.features import FeatureStore

pytest.importorskip("ray", reason="pip install 'dift-geo[ray]'")

NAMES = [f"{i:02}.png" for i in range(16)]
PAIRS = [(NAMES[i], NAMES[j]) for i in range(8) for j in range(i)]


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    from ray.cluster_utils import Cluster

    ways = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "engine")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([*ways, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        memory = {"object_store_memory": 100 << 20}
        before = signal.getsignal(signal.SIGTERM)
        made = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
        made.nodes = [made.add_node(num_cpus=1, wait=False, **memory) for _ in range(2)]
        made.wait_for_nodes()
        signal.signal(signal.SIGTERM, before)  # nodes of this process take it
        yield made
        import ray

        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def engine(cluster) -> Ray:
    before = signal.getsignal(signal.SIGTERM)
    made = Ray(cluster.address)
    assert signal.getsignal(signal.SIGTERM) is before  # so that SIGTERM keeps finished work
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, name in enumerate(NAMES):
        write_image(folder / name, textured((80, 60), i))
    (folder / "03.png").write_bytes(b"no picture")
    return folder


def test_results_come_in_order(engine: Ray) -> None:
    for count in (0, 1, 200):
        got = list(engine.map(sent.square, range(count)))
        assert got == [i * i for i in range(count)]
    assert list(engine.map(sent.square, iter([2]), sent.square)) == [16]


def test_an_error_is_raised_in_its_turn_and_the_item_not_tried_again(
    engine: Ray, tmp_path: Path
) -> None:
    results = engine.map(partial(sent.square_or_fail, tmp_path), range(9))
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(ZeroDivisionError, match="five") as caught:
        next(results)
    assert "square_or_fail" in str(caught.value.__cause__)  # where it was, for DIFT_GEO_DEBUG
    assert len(list(tmp_path.glob("5-*"))) == 1


def test_a_worker_that_dies_is_replaced_but_not_for_ever(
    engine: Ray, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "LIVES", 2)
    once = partial(sent.square_or_die, tmp_path, 1)
    assert list(engine.map(once, range(9))) == [i * i for i in range(9)]
    assert "its work is done again" in caplog.text
    always = partial(sent.square_or_die, tmp_path, 99)
    with pytest.raises(WorkersError, match="2 workers were lost one after the other at 5"):
        list(engine.map(always, range(9)))
    # the item before may be taken for the cause once, where its answer was lost as well
    assert len(list(tmp_path.iterdir())) - 1 - crew.LIVES in (0, 1)


def test_closing_ends_the_work(engine: Ray, tmp_path: Path) -> None:
    results = engine.map(partial(sent.square_and_sleep, tmp_path), range(99))
    assert next(results) == 0
    results.close()
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == done < 20


def stored(folder: Path, photos: Path, extractor, engine) -> tuple[bytes, bytes, list[str]]:
    """Both stores as they are on the disk, and what was skipped."""
    folder.mkdir()
    features, matches = folder / "f.h5", folder / "m.h5"
    skipped = extract_images(photos, NAMES, extractor, features, engine=engine)
    pairs = [pair for pair in PAIRS if not {*skipped} & {*pair}]
    match_pairs(features, pairs, matches, engine=engine)
    return features.read_bytes(), matches.read_bytes(), skipped


def test_the_stores_are_those_of_one_process(engine: Ray, photos: Path, tmp_path: Path) -> None:
    local = stored(tmp_path / "local", photos, CountingExtractor(), Local())
    assert local[2] == ["03.png"]
    assert stored(tmp_path / "ray", photos, CountingExtractor(), engine) == local


def test_the_model_is_loaded_where_it_is_used(
    engine: Ray, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command with the embedded model: the same bytes, and no model in this process."""
    words = ["--descriptor", "dift", "--max-keypoints", "30"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has; kernels of several threads may round otherwise
    assert main(["extract", str(photos), str(tmp_path / "local.h5"), *words]) == 3
    torch.set_num_threads(threads)
    monkeypatch.setattr(ExtractorOptions, "build", None)
    asked: list[object] = []
    monkeypatch.setattr(
        options_file, "Ray", lambda address, **others: asked.extend([address, others]) or engine
    )
    words += ["--engine", "ray", "--address", "head:6379", "--worker-cpus", "3"]
    assert main(["extract", str(photos), str(tmp_path / "f.h5"), *words]) == 3
    assert asked == ["head:6379", {"cpus": 3, "device": "cpu"}]
    assert (tmp_path / "f.h5").read_bytes() == (tmp_path / "local.h5").read_bytes()


def test_what_a_machine_lacks_is_one_line(engine: Ray) -> None:
    with pytest.raises(WorkersError, match=r"machine .* cannot begin: .*/not/there.*same path"):
        list(engine.map(sent.NotHere(), range(3)))
    with pytest.raises(InputError, match="folder"):
        extractor_for(engine, ExtractorOptions(backend="/no/such/folder"), "cpu")
    with pytest.raises(WorkersError, match=r"2 core\(s\) and 0 GPU\(s\), and no machine with the"):
        Ray(cpus=2)  # two of one core each
    with pytest.raises(WorkersError, match="no machine with the 1 and 1 that a worker takes"):
        Ray(device="cuda")
    with pytest.raises(InputError, match=r"'cuda:1', but Ray gives each worker a GPU of its own"):
        Ray(device="cuda:1")
    assert Ray(device="auto").device == "cpu"


def test_the_benchmark_counts_photos(
    engine: Ray, photos: Path, tmp_path: Path, pipeline_module
) -> None:
    shutil.copy(photos / NAMES[0], tmp_path)
    program = pipeline_module("bench/ray_nodes")
    options = ExtractorOptions(descriptor="rootsift")
    assert 0 < program.seconds_of(engine, tmp_path, options, 3) < 10


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_ctrl_c_and_sigterm_keep_what_is_done(
    engine: Ray, photos: Path, tmp_path: Path, number: int, raised: type[BaseException]
) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), number)

    list(engine.map(sent.square, range(9)))  # workers are there
    timer = threading.Timer(1.0, interrupt)
    timer.start()
    with pytest.raises(raised):
        extract_images(photos, NAMES, sent.SlowExtractor(), tmp_path / "f.h5", engine=engine)
    timer.join()
    with FeatureStore(tmp_path / "f.h5") as store:
        assert NAMES[0] in store
        assert 1 <= len(store) < 15
    extract_images(photos, NAMES, CountingExtractor(), tmp_path / "f.h5")
    extract_images(photos, NAMES, CountingExtractor(), tmp_path / "whole.h5")
    with FeatureStore(tmp_path / "f.h5") as got, FeatureStore(tmp_path / "whole.h5") as expected:
        assert list(got) == list(expected)
        assert all(got.fingerprint(name) == expected.fingerprint(name) for name in got)


class Interfering:
    """The engine, and something that happens after a few results."""

    def __init__(self, engine: Ray, after: int, happens: Callable[[], object]) -> None:
        self.engine, self.after = engine, after
        self.happens: Callable[[], object] | None = happens

    def map(self, function, items, load=None):
        for i, result in enumerate(self.engine.map(function, items, load)):
            if i == self.after and self.happens is not None:
                happens, self.happens = self.happens, None
                happens()
            yield result


def test_a_node_that_dies_in_the_middle_changes_nothing(
    cluster, engine: Ray, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of this file: it takes a node away."""
    local = stored(tmp_path / "local", photos, CountingExtractor(), Local())
    dies = Interfering(engine, 4, lambda: cluster.remove_node(cluster.nodes[1], False))
    monkeypatch.setattr(engine_file, "REST_SECONDS", 0.2)
    assert stored(tmp_path / "ray", photos, sent.SlowExtractor(), dies) == local
    import ray

    deadline = time.monotonic() + 40  # for workers to give their cores back, for the death to show
    free, alive = 0.0, 3
    while (free, alive) != (1, 2) and time.monotonic() < deadline:  # the head and one more are left
        time.sleep(0.2)
        free = ray.available_resources().get("CPU", 0)
        alive = sum(node["Alive"] for node in ray.nodes())
    assert (free, alive) == (1, 2)
