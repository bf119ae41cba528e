"""Photos, stores and files into models, against cameras that are known exactly."""

from __future__ import annotations

import json
import shutil
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pycolmap
import pytest
from PIL import Image
from PIL import features as formats
from synthetic_sfm import FOCAL, SIZE_WH, make_scene

import dift_geo
from dift_geo.colmap.mapping import NoModelError
from dift_geo.extractor import ExtractorOptions
from dift_geo.geometry.pose import relative_pose_errors_deg
from dift_geo.images import write_image
from dift_geo.matching.options import MatchOptions
from dift_geo.options import option_names
from dift_geo.pairs.lists import read_pairs, write_pairs
from dift_geo.sfm import (
    SfmOptions,
    reconstruct,
    reconstruct_from_files,
    reconstruct_from_stores,
)
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches
from dift_geo.v01.reconstruction import reconstruct_from_stores as reconstruct_as_in_0_1

KNOWN = {"*": ("SIMPLE_PINHOLE", [FOCAL, SIZE_WH[0] / 2, SIZE_WH[1] / 2])}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


def stored(scene):
    """The arguments that a scene gives."""
    return scene.images, scene.features, scene.matches, scene.pairs


# options


def test_options_are_frozen_keywords_of_one_list():
    options = SfmOptions(camera_mode="single", seed=3)
    with pytest.raises(FrozenInstanceError):
        options.seed = 4
    with pytest.raises(TypeError):
        SfmOptions("sequential")
    names = [field.name for field in fields(SfmOptions)]
    assert [*option_names(SfmOptions), "intrinsics", "choice"] == names == list(options.recipe())
    assert options.recipe()["camera_mode"] == "single"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"camera_mode": "one"}, "camera_mode is 'one', expected one of auto, single"),
        ({"mapper": "fast"}, "mapper is 'fast', expected one of incremental, global"),
        ({"overlap": 0}, "overlap is 0, expected at least 1"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SfmOptions(**wrong)


class Unused:
    """An extractor that must not be asked."""

    def extract(self, image, name=None, *, photo=None):
        raise AssertionError("work was done")

    def recipe(self):
        raise AssertionError("work was done")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SfmOptions(camera_model="PINHOL"), "camera_model is 'PINHOL', expected one of"),
        (SfmOptions(intrinsics={"*": ("RADIO", [1.0])}), "camera_model is 'RADIO', expected"),
        (SfmOptions(pairs="pairs.txt"), "no pairs file at pairs.txt"),
        (SfmOptions(intrinsics={"a/view 0.png": KNOWN["*"]}), "is 'view 0.png' meant"),
        (SfmOptions(intrinsics={"*": ("PINHOLE", [])}), "PINHOLE got 0 parameters"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    scene, tmp_path, options, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reconstruct(scene.images, tmp_path / "out", Unused(), options)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reconstruct_from_files(scene.images, tmp_path / "out", scene.features, None, options)
    assert not (tmp_path / "out").exists()


def test_pairs_of_strangers_are_refused_before_any_work(scene, tmp_path):
    write_pairs(tmp_path / "pairs.txt", [("view 0.png", "nowhere.png")])
    options = SfmOptions(pairs=str(tmp_path / "pairs.txt"))
    with pytest.raises(ValueError, match="expected `name0 name1` of the 5 known images"):
        reconstruct(scene.images, tmp_path / "out", Unused(), options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds 0 image\(s\), expected at least 2 to recon"):
        reconstruct(tmp_path / "empty", tmp_path / "out", Unused())
    assert not (tmp_path / "out").exists()


# stores


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_the_same_seed_gives_the_same_model(tmp_path, mapper):
    """To the last digit, verification and bundle adjustment included, from stores that are no toy:
    noise of half a pixel and one in three matches wrong.
    """
    scene = make_scene(tmp_path / "noisy", views=8, wrong=50)
    noise = np.random.default_rng(1)
    with FeatureStore(scene.features) as exact, FeatureStore(tmp_path / "f.h5", {}) as store:
        for name in exact:
            keypoints = exact[name].keypoints
            moved = keypoints.xy + noise.normal(0, 0.5, keypoints.xy.shape)
            inside = moved.clip(0, np.array(SIZE_WH) - 1)
            store[name] = Features(
                Keypoints(inside, keypoints.scores, SIZE_WH), exact[name].descriptors
            )
        store.merge()
    options = SfmOptions(camera_mode="single", mapper=mapper)
    models = set()
    for run in range(3):
        out = tmp_path / str(run)
        arguments = scene.images, tmp_path / "f.h5", scene.matches, scene.pairs, out, options
        assert reconstruct_from_stores(*arguments).summary["registered"] == 8
        files = sorted((out / "sparse").glob("*.bin"))
        models.add(tuple(path.read_bytes() for path in files))
    assert len(models) == 1


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_recovers_known_cameras(tmp_path, mapper):
    scene = make_scene(tmp_path / "exact", wrong=0)
    options = SfmOptions(intrinsics=KNOWN, mapper=mapper)
    result = reconstruct_from_stores(*stored(scene), tmp_path / "out", options)
    assert result.summary["registered"] == len(scene.poses)
    assert max(relative_pose_errors_deg(result.cam_from_world, scene.poses)) < 0.002
    # a frame off by half a pixel, or float16 keypoints, would show here
    assert result.summary["reprojection_px"] < 0.002
    written = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse"))
    assert written.num_points3D() == result.summary["points"]


def test_unknown_focal_length_is_recovered(scene, tmp_path):
    result = reconstruct_from_stores(*stored(scene), tmp_path, SfmOptions(camera_mode="single"))
    (camera,) = result.model.cameras.values()
    assert camera.mean_focal_length() == pytest.approx(FOCAL, rel=0.02)


def test_matches_taken_as_verified_are_used(scene, tmp_path):
    """COLMAP 4 drops pairs of UNDEFINED configuration silently, so there has to be one."""
    with FeatureStore(scene.features) as features:
        points = len(features["view 0.png"])
    with MatchStore(tmp_path / "true.h5", {}) as store:
        for pair in scene.pairs:
            store.put(pair, Matches(np.stack([np.arange(points)] * 2, 1), np.ones(points)), points)
        store.merge()
    arguments = scene.images, scene.features, tmp_path / "true.h5", scene.pairs, tmp_path / "out"
    result = reconstruct_from_stores(*arguments, SfmOptions(camera_mode="single"), verify=False)
    assert result.summary["registered"] == len(scene.poses)


def without_matches(path, pairs):
    with MatchStore(path, {}) as store:
        for pair in pairs:
            store.put(pair, Matches.none(), 150)
        store.merge()
    return path


def contents(folder):
    """Bytes by path, of every file that a user sees."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.startswith(".")
    }


def test_no_model_is_an_error_and_leaves_none(scene, tmp_path):
    matches = without_matches(tmp_path / "none.h5", scene.pairs)
    arguments = scene.images, scene.features, matches, scene.pairs, tmp_path / "out"
    with pytest.raises(NoModelError, match=r"0.0 matches per pair, 0 of 10 pairs verified"):
        reconstruct_from_stores(*arguments)
    assert contents(tmp_path / "out") == {}


def test_the_old_model_stays_until_a_new_one_stands(scene, tmp_path):
    out = tmp_path / "out"
    options = SfmOptions(camera_mode="single", intrinsics=KNOWN)
    reconstruct_from_stores(*stored(scene), out, options)
    before = contents(out)
    assert {"database.db", "summary.json", "sparse/images.bin", "pairs.txt"} <= set(before)
    none = without_matches(tmp_path / "none.h5", scene.pairs)
    with pytest.raises(NoModelError):
        reconstruct_from_files(scene.images, out, scene.features, none, options)
    for wrong in (SfmOptions(camera_model="PINHOL"), SfmOptions(intrinsics={"*": ("RADIO", [])})):
        with pytest.raises(ValueError, match="camera_model is"):
            reconstruct_from_files(scene.images, out, scene.features, scene.matches, wrong)
    lacking = without_matches(tmp_path / "lacking.h5", scene.pairs[1:])
    with pytest.raises(KeyError):
        reconstruct_from_stores(scene.images, scene.features, lacking, scene.pairs, out, options)
    assert contents(out) == before
    two = reconstruct_from_stores(*stored(scene)[:3], scene.pairs[:1], out, options)
    assert two.summary["images"] == 2
    assert contents(out).keys() == before.keys()
    assert json.loads((out / "summary.json").read_text())["pairs"] == 1


@pytest.mark.parametrize("entry", ["photos", "files", "stores"])
@pytest.mark.parametrize("name", ["database.db", "sparse/0/cameras.bin", "summary.json"])
def test_a_project_of_colmap_is_left_as_it_is(scene, tmp_path, entry, name):
    project = tmp_path / "project"
    shutil.copytree(scene.images, project / "images")
    for path in (name, "models/0/cameras.bin", "notes.txt"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("theirs")
    before = contents(project)
    strange = name.partition("/")[0]
    run = {
        "photos": lambda: reconstruct(project / "images", project, Unused()),
        "files": lambda: reconstruct_from_files(project / "images", project, *stored(scene)[1:3]),
        "stores": lambda: reconstruct_from_stores(project / "images", *stored(scene)[1:], project),
    }[entry]
    with pytest.raises(ValueError, match=rf"holds {strange} that dift-geo did not make"):
        run()
    assert contents(project) == before
    assert not list(project.glob(".*"))


def test_what_lies_beside_the_results_stays(scene, tmp_path):
    out = tmp_path / "out"
    for path in ("models/0/cameras.bin", "notes.txt", "sparse.txt"):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text("theirs")
    write_pairs(out / "pairs.txt", scene.pairs)
    options = SfmOptions(camera_mode="single", pairs=str(out / "pairs.txt"))
    for _ in range(2):
        before = contents(out)
        reconstruct_from_files(scene.images, out, scene.features, scene.matches, options)
        after = contents(out)
        ours = {path for path in after if path.startswith(("database.db", "sparse/", "summary"))}
        assert {path: after[path] for path in after.keys() - ours} == {
            path: before[path] for path in before.keys() - ours
        }


def test_the_keywords_of_0_1_are_the_options(tmp_path):
    scene = make_scene(tmp_path / "two", views=2, wrong=10)
    options = SfmOptions(camera_mode="per-image", intrinsics=KNOWN, seed=3)
    now = reconstruct_from_stores(*stored(scene), tmp_path / "now", options)
    then = reconstruct_as_in_0_1(
        *stored(scene), tmp_path / "then", camera_mode="per-image", intrinsics=KNOWN, seed=3
    )
    assert then.summary | {"seconds": 0} == now.summary | {"seconds": 0}


def test_photos_of_two_places_become_two_models(tmp_path):
    """Both are kept; what reads OUT/sparse finds the larger one."""
    features, matches, pairs = tmp_path / "f.h5", tmp_path / "m.h5", []
    with FeatureStore(features, {}) as all_features, MatchStore(matches, {}) as all_matches:
        for place, views in {"a": 10, "b": 12}.items():
            scene = make_scene(tmp_path / place, views=views, wrong=0, seed=views)
            (tmp_path / "images").mkdir(exist_ok=True)
            scene.images.rename(tmp_path / "images" / place)
            with FeatureStore(scene.features) as few, MatchStore(scene.matches) as some:
                for name in scene.poses:
                    all_features[f"{place}/{name}"] = few[name]
                for a, b in scene.pairs:
                    pairs.append((f"{place}/{a}", f"{place}/{b}"))
                    all_matches.put(pairs[-1], some[a, b], 150)
        all_features.merge()
        all_matches.merge()
    out = tmp_path / "out"
    options = SfmOptions(camera_mode="single", intrinsics=KNOWN)
    result = reconstruct_from_files(tmp_path / "images", out, features, matches, options)
    assert result.summary["registered"] == 12
    assert result.summary["models"] == 2
    assert result.summary["models_registered"] == [12, 10]
    counts = [pycolmap.Reconstruction(str(out / "sparse" / n)).num_reg_images() for n in ".01"]
    assert counts == [12, 12, 10]


# files


def test_from_files_takes_the_pairs_that_matches_hold(scene, tmp_path):
    options = SfmOptions(camera_mode="single", seed=1)
    out = tmp_path / "out"
    result = reconstruct_from_files(scene.images, out, scene.features, scene.matches, options)
    summary = json.loads((out / "summary.json").read_text())
    assert summary == result.summary
    assert summary["registered"] == summary["images"] == 5
    assert summary["skipped"] == []
    assert summary["dift_geo"] == dift_geo.__version__
    assert summary["recipe"] == {
        "features": str(scene.features),
        "matches": str(scene.matches),
        **options.recipe(),
    }
    assert set(summary["seconds"]) == {"verify", "map"}
    assert set(read_pairs(out / "pairs.txt", scene.poses)) == set(scene.pairs)


def test_from_files_matches_where_no_matches_are_given(scene, tmp_path):
    """The scene's descriptors are one-hot: every match is true."""
    options = SfmOptions(pairs="sequential", overlap=2, camera_mode="single")
    match = MatchOptions(ratio=0.9)
    out = tmp_path / "out"
    result = reconstruct_from_files(scene.images, out, scene.features, options=options, match=match)
    assert result.summary["pairs"] == 7
    assert result.summary["matches_mean"] == 150
    assert result.summary["keypoints_mean"] == 150
    assert result.summary["recipe"]["match"] == match.recipe()
    assert result.summary["recipe"]["matches"] == str(out / "matches.h5")


def test_from_files_without_pairs_is_told(scene, tmp_path):
    empty = without_matches(tmp_path / "none.h5", [])
    with pytest.raises(ValueError, match=r"none.h5 gives no pair of 5 images, expected at least"):
        reconstruct_from_files(scene.images, tmp_path / "out", scene.features, empty)


# photos


@pytest.fixture(scope="module")
def rendered(pipeline_module, tmp_path_factory):
    pytest.importorskip("skimage", reason="scikit-image carries the photographs")
    folder = tmp_path_factory.mktemp("rendered") / "images"
    truth = pipeline_module("rendered_scene").write_scene(folder, views=4, size_wh=(400, 300))
    return folder, truth


def test_photos_become_a_model_and_a_summary(rendered, tmp_path):
    folder, truth = rendered
    extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=500).build()
    options = SfmOptions(pairs="sequential", camera_mode="single")
    result = reconstruct(folder, tmp_path, extractor, options, MatchOptions(ratio=0.95))
    errors = relative_pose_errors_deg(result.cam_from_world, truth.cam_from_world)
    assert max(errors) < 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert summary["recipe"] == json.loads(
        json.dumps(
            {
                "extractor": extractor.recipe(),
                "match": {"name": "mutual-nn", "ratio": 0.95, "min_similarity": None},
                **options.recipe(),
            }
        )
    )
    assert set(summary["seconds"]) == {"extract", "match", "verify", "map"}
    assert result.folder == tmp_path / "sparse"
    again = reconstruct(folder, tmp_path, extractor, options, MatchOptions(ratio=0.95))
    assert again.summary["registered"] == 4


def test_unreadable_photos_are_skipped_or_stop_it(rendered, tmp_path):
    folder, _ = rendered
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("view_0.png", "view_1.png"):
        (photos / name).write_bytes((folder / name).read_bytes())
    (photos / "words.png").write_text("no image")
    extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=500).build()
    result = reconstruct(photos, tmp_path / "out", extractor)
    assert result.summary["skipped"] == ["words.png"]
    assert result.summary["images"] == 2
    with pytest.raises(ValueError, match=r"words\.png"):
        reconstruct(photos, tmp_path / "strict", extractor, strict=True)
    write_pairs(tmp_path / "p.txt", [("view_0.png", "view_1.png"), ("view_1.png", "words.png")])
    named = SfmOptions(pairs=str(tmp_path / "p.txt"))
    result = reconstruct(photos, tmp_path / "named", extractor, named)
    assert (result.summary["pairs"], result.summary["skipped"]) == (1, ["words.png"])
    (photos / "view_1.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 images in .* can be read, expected at least 2"):
        reconstruct(photos, tmp_path / "one", extractor)


def test_words_that_give_no_pair_are_told(tmp_path, picture):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        write_image(tmp_path / "images" / name, picture)
    extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=50).build()
    with pytest.raises(ValueError, match="sequential gives no pair of the 2 readable images"):
        reconstruct(
            tmp_path / "images", tmp_path / "out", extractor, SfmOptions(pairs="sequential")
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jpg", "WEBP"),
        ("avif", "AVIF"),
        ("tif", "TIFF"),
    ],
)
def test_photos_that_colmap_cannot_read_become_a_model(rendered, tmp_path, name, kind):
    """What a browser saved under another name, and pictures that a tag turns."""
    if kind == "AVIF" and not formats.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    folder, _ = rendered
    (tmp_path / "photos").mkdir()
    data = Image.Exif()
    data[0x112] = 6
    for path in folder.glob("*.png"):
        picture = Image.open(path)
        picture.save(tmp_path / "photos" / f"{path.stem}.{name}", kind, exif=data, quality=95)
    extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=500).build()
    options = SfmOptions(pairs="sequential", camera_mode="single")
    result = reconstruct(tmp_path / "photos", tmp_path / "out", extractor, options)
    assert result.summary["registered"] == result.summary["images"] == 4
    (camera,) = result.model.cameras.values()
    assert (camera.width, camera.height) == (400, 300)
