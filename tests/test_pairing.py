"""From words to pairs: what each needs, what it says where it has nothing to go by, and hloc."""

from __future__ import annotations

from itertools import combinations

import h5py
import numpy as np
import pytest
from hloc_plugin.copies import hloc_folders, run_hloc
from pairs.test_retrieval import features_of, walk
from posed_models import model_of

from dift_geo.colmap.vocabulary import rank_vocabulary
from dift_geo.errors import InputError, MissingFileError
from dift_geo.pairing import PairOptions, find_pairs
from dift_geo.pairs.lists import exhaustive_pairs, write_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.global_descriptors import read_globals, write_globals

COUNT = 12
BESIDE = {(f"{i:02}", f"{i + 1:02}") for i in range(COUNT - 1)}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairing") / "f.h5"
    with FeatureStore(path, {"made": "by a test"}) as store:
        for name, one in walk(COUNT).items():
            store[name] = one
        store.merge()
    return path


NAMES = list(walk(COUNT))


def choose(*how, budget=None, model=None, vectors=None, **given):
    options = PairOptions(
        how=how, budget=budget, from_model=model and str(model), global_descriptors=vectors
    )
    return find_pairs(NAMES, options, **given)


def test_what_looks_alike_is_paired(features) -> None:
    assert {*choose("retrieval:2", features=features)} >= BESIDE
    assert {*choose("retrieval:1", features=features)} <= BESIDE


def test_the_vocabulary_pairs_most_of_what_looks_alike(features) -> None:
    """Not always all of it: FAISS draws at random."""
    assert len(BESIDE & {*choose("vocabulary:3", features=features)}) >= 7


@pytest.mark.parametrize("dim", [24, 200, 300])
def test_the_vocabulary_takes_descriptors_of_any_length(dim) -> None:
    images = walk(8, step=30, dim=dim) | {"none": features_of(np.zeros((0, dim)))}
    ranking = rank_vocabulary(images, list(images), 2)
    assert {name for pair in ranking for name in pair} == {*images} - {"none"}


def test_words_are_united_and_a_budget_keeps_the_best(features, tmp_path) -> None:
    write_pairs(tmp_path / "p.txt", [("00", "11")])
    both = choose(f"file:{tmp_path / 'p.txt'}", "retrieval:2", features=features)
    assert {*both} == {*choose("retrieval:2", features=features), ("00", "11")}
    assert both == sorted(both)
    few = choose("exhaustive", budget=COUNT - 1)
    assert {*few} == BESIDE
    assert choose("exhaustive") == exhaustive_pairs(NAMES)


def poses():
    found = {}
    for i, name in enumerate(NAMES):
        found[name] = np.eye(3, 4)
        found[name][0, 3] = -float(i)
    return found


def test_poses_and_covisibility_come_from_a_model(tmp_path) -> None:
    known = dict([*poses().items()][:8])
    model = model_of(known, np.array([[0, 0, 5.0], [1, 0, 5], [2, 0, 6]]))
    model.delete_observation(1, 0)  # the first shares two points with each, the others three
    model.write(tmp_path)
    assert {*choose("poses:1", model=tmp_path)} == {p for p in BESIDE if p[1] < "08"}
    pairs = {*choose("covisible:20", model=tmp_path)}
    assert pairs == {*combinations(sorted(known), 2)}
    assert pairs - {*choose("covisible:6", model=tmp_path)} == {("00", "07")}


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["retrieval:3"], {}, "retrieval:N needs features: give a features store"),
        (["vocabulary"], {}, "vocabulary:N needs features"),
        (["spatial"], {}, "spatial:N needs the photos: give their folder with --images"),
        (["poses"], {}, "poses:N needs poses: give a COLMAP model with --from-model"),
        (["near:3"], {}, "'near:3' is no way to choose pairs"),
    ],
)
def test_what_a_word_lacks_is_told(words, given, said) -> None:
    with pytest.raises(InputError, match=said):
        choose(*words, **given)


def test_sources_that_do_not_fit_are_told(tmp_path) -> None:
    model_of({"other": np.eye(3, 4)}).write(tmp_path)
    with pytest.raises(InputError, match="places 0 of the 12 images, expected at least 2"):
        choose("poses:3", model=tmp_path)
    model_of(poses()).write(tmp_path)
    with pytest.raises(InputError, match="has no points"):
        choose("covisible:3", model=tmp_path)
    with pytest.raises(MissingFileError, match="there is nothing at nowhere, which poses:N needs"):
        choose("poses:3", model="nowhere")
    with pytest.raises(MissingFileError, match="which file:PATH needs"):
        choose("file:nowhere.txt")
    with pytest.raises(InputError, match=r"0 of 12 photos in .* say where they were taken"):
        choose("spatial:3", images=tmp_path)
    with pytest.raises(InputError, match=r"1 image\(s\), expected at least 2"):
        find_pairs(["a"], PairOptions(how=("exhaustive",)))
    with pytest.raises(InputError, match="--budget needs --how"):
        PairOptions(budget=3)


def test_images_that_a_model_lacks_are_said(tmp_path, caplog) -> None:
    model_of(dict([*poses().items()][:10])).write(tmp_path)
    choose("poses:3", model=tmp_path)
    assert "2 of 12 images have no pose" in caplog.text
    assert "10 first" in caplog.text


def test_vectors_are_written_read_again_and_made_anew_for_other_features(
    features, tmp_path, monkeypatch
) -> None:
    vectors = str(tmp_path / "g.h5")
    pairs = choose("retrieval:2", features=features, vectors=vectors)
    with h5py.File(vectors) as file:
        norms = [np.linalg.norm(file[name]["global_descriptor"][:]) for name in NAMES]
    np.testing.assert_allclose(norms, 1, atol=1e-2)
    monkeypatch.setattr("dift_geo.pairing.pool_images", lambda *_: pytest.fail("pooled again"))
    assert choose("retrieval:2", features=features, vectors=vectors) == pairs
    with FeatureStore(features) as store, FeatureStore(tmp_path / "f.h5", {}) as other:
        for name in NAMES:
            other[name] = store["00" if name == "03" else name]
        other.merge()
    with pytest.raises(pytest.fail.Exception, match="pooled again"):
        choose("retrieval:2", features=tmp_path / "f.h5", vectors=vectors)


def test_a_store_of_features_is_no_place_for_vectors(features, tmp_path) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(features.read_bytes())
    with pytest.raises(InputError, match="is there and holds no global descriptors"):
        choose("retrieval:2", features=features, vectors=str(path))
    assert path.read_bytes() == features.read_bytes()


def test_vectors_of_hloc_decide_and_stay(features, tmp_path) -> None:
    path = tmp_path / "netvlad.h5"
    turned = np.radians(np.arange(COUNT) * 20)[[*range(0, COUNT, 2), *range(1, COUNT, 2)]]
    with h5py.File(path, "w") as file:
        for name, angle in zip(NAMES, turned):
            file[f"{name}/global_descriptor"] = np.array([np.cos(angle), np.sin(angle)], "f4")
    before = path.read_bytes()
    pairs = choose("retrieval:1", features=features, vectors=str(path))
    assert ("00", "06") in pairs
    assert path.read_bytes() == before
    with h5py.File(path, "a") as file:
        del file["05"]
    with pytest.raises(InputError, match="has no global_descriptor of '05'"):
        choose("retrieval:1", features=features, vectors=str(path))


def test_vectors_that_are_none_are_told(tmp_path) -> None:
    write_globals(tmp_path / "g.h5", ["a", "b"], np.array([[1, np.nan], [1, 0]]), {})
    with pytest.raises(InputError, match="NaN"):
        read_globals(tmp_path / "g.h5", ["a", "b"])
    with h5py.File(tmp_path / "g.h5", "a") as file:
        del file["a/global_descriptor"]
        file["a/global_descriptor"] = np.ones(3, "f4")
    with pytest.raises(InputError, match="different lengths"):
        read_globals(tmp_path / "g.h5", ["a", "b"])


def test_hlocs_own_retrieval_reads_ours_and_finds_the_same(features, tmp_path) -> None:
    folder = hloc_folders()["wheel"]
    if folder is None:
        pytest.skip("no copy of hloc here: pip install --no-deps deep-image-matching")
    vectors = tmp_path / "g.h5"
    ours = choose("retrieval:2", features=features, vectors=str(vectors))
    code = (
        "import sys; from pathlib import Path; import logging, hloc; "
        "from hloc.pairs_from_retrieval import main; main(Path(sys.argv[1]), sys.argv[2], 2)"
    )
    run_hloc(folder, "-c", code, str(vectors), str(tmp_path / "p.txt"))
    lines = (tmp_path / "p.txt").read_text().splitlines()
    assert {tuple(sorted(line.split())) for line in lines} == {*ours}
