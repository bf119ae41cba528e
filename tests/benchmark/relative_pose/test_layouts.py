"""Every layout of data gives the same pairs: written here as its authors' loaders read it."""

from __future__ import annotations

import pickle
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from dift_geo.benchmark.relative_pose.data import Choice
from dift_geo.benchmark.relative_pose.layouts import read_posed_pairs
from dift_geo.errors import InputError, MissingFileError, NotAFolderError
from tests.benchmark.relative_pose.made import K, camera, cameras_text, relative
from tests.colmap.test_posed import write_model

COLMAP_K = K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # begins at the corner of the pixel
PAIRS = list(combinations(range(3), 2))


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def text_of(*arrays) -> str:
    return " ".join(repr(float(x)) for array in arrays for x in np.ravel(array))


def check(found, scenes, names, K=K, size_wh=None) -> None:
    """The pairs of three cameras in each scene, with the truth of `made`."""
    assert found.problems == ()
    assert [pair.scene for pair in found.pairs] == [scene for scene in scenes for _ in PAIRS]
    for pair, (i, j) in zip(found.pairs, PAIRS * len(scenes)):
        assert pair.names == (names(pair.scene, i), names(pair.scene, j))
        np.testing.assert_allclose(pair.cam1_from_cam0, relative(i, j)[:3], atol=1e-5)
        for view in (pair.view0, pair.view1):
            np.testing.assert_allclose(view.K, K, rtol=1e-6)
            assert view.size_wh == size_wh


# ---- scenes ----


def scene_name(scene: str, i: int) -> str:
    return f"{scene}/images/{i}.jpg"


@pytest.fixture
def scenes(tmp_path):
    for scene in ("abbey", "bridge"):
        touch(tmp_path, *(scene_name(scene, i) for i in range(3)))
        own = {f"{i}.jpg": i for i in range(3)}
        (tmp_path / scene / "cameras_gt.txt").write_text(cameras_text(own))
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_scenes_with_cameras_gt(scenes) -> None:
    check(read_posed_pairs(scenes), ["abbey", "bridge"], scene_name, size_wh=(640, 480))


def test_one_scene_by_itself(scenes) -> None:
    found = read_posed_pairs(scenes / "abbey")
    check(found, ["abbey"], lambda scene, i: f"images/{i}.jpg", size_wh=(640, 480))
    assert found.label(found.pairs[0]) == "0.jpg-1.jpg"


@pytest.mark.parametrize("place", ["sparse", "sparse/0", "dense/sparse", "model"])
def test_scenes_with_a_colmap_model(scenes, place) -> None:
    poses = {f"{i}.jpg": camera(i) for i in range(3)}
    for scene in ("abbey", "bridge"):
        (scenes / scene / "cameras_gt.txt").unlink()
        write_model(scenes / scene / place, poses)
        own = next(iter(poses))
        assert own == "0.jpg"
    found = read_posed_pairs(scenes)
    assert [pair.names for pair in found.pairs][:2] == [
        ("abbey/images/0.jpg", "abbey/images/1.jpg"),
        ("abbey/images/0.jpg", "abbey/images/2.jpg"),
    ]
    for pair, (i, j) in zip(found.pairs, PAIRS * 2):
        np.testing.assert_allclose(pair.cam1_from_cam0, relative(i, j)[:3], atol=1e-9)


def test_a_scene_of_one_camera_is_said(scenes) -> None:
    (scenes / "abbey" / "cameras_gt.txt").write_text(cameras_text({"0.jpg": 0}))
    found = read_posed_pairs(scenes)
    assert found.scenes == ["bridge"]
    assert found.problems == ("abbey: 1 known camera, expected at least 2",)


def test_pairs_that_are_drawn(scenes) -> None:
    assert len(read_posed_pairs(scenes, Choice(pairs_per_scene=2)).pairs) == 4
    near = read_posed_pairs(scenes, Choice(max_angle_deg=10, scenes=["abbey"])).pairs
    assert [pair.names for pair in near] == [
        ("abbey/images/0.jpg", "abbey/images/1.jpg"),
        ("abbey/images/1.jpg", "abbey/images/2.jpg"),
    ]


# ---- lists as text ----


def superglue(name, turns=(0, 0)) -> str:
    lines = []
    for scene in ("abbey", "bridge"):
        for i, j in PAIRS:
            numbers = text_of(K, K, relative(i, j))
            lines.append(f"{name(scene, i)} {name(scene, j)} {turns[0]} {turns[1]} {numbers}")
    return "\n".join(lines) + "\n"


def test_superglues_list(tmp_path) -> None:
    touch(tmp_path, *(scene_name(s, i) for s in ("abbey", "bridge") for i in range(3)))
    (tmp_path / "yfcc_test_pairs_with_gt.txt").write_text(superglue(scene_name))
    check(read_posed_pairs(tmp_path), ["abbey", "bridge"], scene_name)


def test_a_list_that_lies_elsewhere(tmp_path) -> None:
    root = tmp_path / "data"
    touch(root, *(scene_name(s, i) for s in ("abbey", "bridge") for i in range(3)))
    (tmp_path / "list.txt").write_text(superglue(scene_name))
    found = read_posed_pairs(root, pairs=tmp_path / "list.txt")
    check(found, ["abbey", "bridge"], scene_name)
    assert found.layout == "pairs of list.txt"


def test_photos_that_superglue_turns_are_left_out_and_said(tmp_path) -> None:
    touch(tmp_path, *(scene_name(s, i) for s in ("abbey", "bridge") for i in range(3)))
    text = superglue(scene_name) + superglue(scene_name, turns=(0, 3))
    (tmp_path / "pairs_with_gt.txt").write_text(text)
    found = read_posed_pairs(tmp_path)
    assert len(found.pairs) == 6
    assert found.problems == (
        "6 pairs of pairs_with_gt.txt have a photo that has to be turned first; left out",
    )


@pytest.mark.parametrize("whole", [False, True])
def test_gluefactorys_list(tmp_path, whole) -> None:
    lines = []
    for scene in ("0015", "0022"):
        for i, j in PAIRS:
            T = relative(i, j)
            pose = text_of(T) if whole else text_of(T[:3, :3], T[:3, 3])
            names = f"{scene_name(scene, i)} {scene_name(scene, j)}"
            lines.append(f"{names} {text_of(COLMAP_K, COLMAP_K)} {pose}")
            touch(tmp_path, scene_name(scene, i), scene_name(scene, j))
    (tmp_path / "pairs_calibrated.txt").write_text("\n".join(lines))
    check(read_posed_pairs(tmp_path), ["0015", "0022"], scene_name)


def test_gluefactorys_views(tmp_path) -> None:
    views, pairs = [], []
    for scene in ("0015", "0022"):
        for i in range(3):
            pose = camera(i)
            params = text_of([600, 610, 320, 240])
            numbers = text_of(pose[:, :3], pose[:, 3])
            views.append(f"{scene}/{i}.jpg {numbers} PINHOLE 640 480 {params}")
            touch(tmp_path, f"images/{scene}/{i}.jpg")
        pairs += [f"{scene}/{i}.jpg {scene}/{j}.jpg" for i, j in PAIRS]
    (tmp_path / "views.txt").write_text("\n".join(views))
    (tmp_path / "pairs.txt").write_text("\n".join(pairs))
    names = "images/{}/{}.jpg".format
    check(read_posed_pairs(tmp_path), ["0015", "0022"], names, size_wh=(640, 480))
    (tmp_path / "pairs.txt").write_text("0015/0.jpg other.jpg")
    with pytest.raises(InputError, match=r"expected two names of views\.txt"):
        read_posed_pairs(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg b.jpg 0 0 1 2 3", "has 7 words, expected 38 as SuperGlue"),
        ("a.jpg b.jpg " + "x " * 36, "holds a word where a number should be"),
        ("a.jpg b.jpg " + "nan " * 36, "holds NaN or infinity"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path, line, message) -> None:
    (tmp_path / "pairs_with_gt.txt").write_text("# list\n" + line)
    with pytest.raises(InputError, match=rf"pairs_with_gt.txt:2 {message}"):
        read_posed_pairs(tmp_path)


# ---- lists of LoFTR ----


def scene_info(path: Path, scene: str, pairs=PAIRS) -> None:
    """As LoFTR's scene_info: photos that were dropped are None."""
    paths = [f"Undistorted_SfM/{scene}/images/{i}.jpg" for i in range(3)]
    poses = [np.vstack([camera(i), [0, 0, 0, 1]]) for i in range(3)]
    infos = np.empty(len(pairs), object)
    for n, (i, j) in enumerate(pairs):
        infos[n] = ((i, j), 0.25, np.zeros((4, 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        image_paths=np.array([*paths, None], object),
        depth_paths=np.array([None] * 4, object),
        intrinsics=_objects([*([COLMAP_K] * 3), None]),
        poses=_objects([*poses, None]),
        pair_infos=infos,
    )


def _objects(values) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def megadepth_name(scene: str, i: int) -> str:
    return f"Undistorted_SfM/{scene}/images/{i}.jpg"


@pytest.fixture
def megadepth(tmp_path):
    folder = tmp_path / "megadepth_test_1500_scene_info"
    scene_info(folder / "0015_0.1_0.3.npz", "0015", PAIRS[:1])
    scene_info(folder / "0015_0.3_0.5.npz", "0015", PAIRS[1:])
    scene_info(folder / "0022_0.1_0.3.npz", "0022")
    touch(tmp_path, *(megadepth_name(s, i) for s in ("0015", "0022") for i in range(3)))
    return tmp_path


def test_loftrs_megadepth(megadepth) -> None:
    found = read_posed_pairs(megadepth)
    check(found, ["0015", "0022"], megadepth_name)
    assert found.layout == "3 lists of LoFTR"
    lists = megadepth / "megadepth_test_1500_scene_info"
    (lists / "megadepth_test_1500.txt").write_text("0022_0.1_0.3\n")
    check(read_posed_pairs(megadepth), ["0022"], megadepth_name)
    one = read_posed_pairs(megadepth, pairs=lists / "0015_0.1_0.3.npz")
    assert len(one.pairs) == 1


def test_a_pair_of_a_photo_that_was_dropped_is_refused(megadepth) -> None:
    path = megadepth / "megadepth_test_1500_scene_info" / "0022_0.1_0.3.npz"
    scene_info(path, "0022", [(0, 3)])
    with pytest.raises(InputError, match="pairs photo 3, of which image_paths has nothing"):
        read_posed_pairs(megadepth)


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("evil", [Evil(), Path("x"), np.load])
def test_code_in_an_archive_does_not_run(megadepth, evil, capsys) -> None:
    path = megadepth / "megadepth_test_1500_scene_info" / "0022_0.1_0.3.npz"
    arrays = dict.fromkeys(("image_paths", "intrinsics", "poses"), _objects([None]))
    np.savez(path, **arrays, pair_infos=_objects([evil]))
    with pytest.raises(InputError, match="cannot be read as numpy's npz: asks for"):
        read_posed_pairs(megadepth)
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_age_are_read(tmp_path, protocol) -> None:
    from dift_geo.benchmark.relative_pose.npz import PLAIN, _Plain

    array = _objects([None, "a", (np.float32(2), np.arange(3)), [np.eye(2)], b"x"])
    file = tmp_path / "array.pkl"
    file.write_bytes(pickle.dumps(array, protocol))
    with file.open("rb") as opened:
        read = _Plain(opened).load()
    if protocol == 2:  # of numpy 1
        file.write_bytes(file.read_bytes().replace(b"numpy._core.", b"numpy.core."))
        with file.open("rb") as opened:
            assert _Plain(opened).load()[1] == "a"
    assert read[2][0] == 2
    np.testing.assert_array_equal(read[2][1], [0, 1, 2])
    assert ("builtins", "eval") not in PLAIN


@pytest.fixture
def scannet(tmp_path):
    rows = [(707, 0, 15 * i, 15 * j) for i, j in PAIRS] + [(8, 1, 15 * i, 15 * j) for i, j in PAIRS]
    poses = [relative(i, j)[:3].ravel() for i, j in PAIRS] * 2
    np.savez(tmp_path / "test.npz", name=np.array(rows, np.uint16), rel_pose=np.array(poses))
    np.savez(tmp_path / "intrinsics.npz", scene0707_00=K, scene0008_01=K)
    for scene in ("scene0707_00", "scene0008_01"):
        touch(tmp_path, *(scannet_name(scene, i) for i in range(3)))
    return tmp_path


def scannet_name(scene: str, i: int) -> str:
    return f"scans_test/{scene}/color/{15 * i}.jpg"


def test_loftrs_scannet(scannet) -> None:
    found = read_posed_pairs(scannet)
    check(found, ["scene0707_00", "scene0008_01"], scannet_name, size_wh=(640, 480))


def test_loftrs_scannet_with_poses_of_the_photos(scannet, tmp_path_factory) -> None:
    lists = tmp_path_factory.mktemp("assets")
    for name in ("test.npz", "intrinsics.npz"):
        shutil.move(scannet / name, lists)
    np.savez(lists / "test.npz", name=np.load(lists / "test.npz")["name"])
    with pytest.raises(MissingFileError, match=r"0.txt; expected the poses of ScanNet"):
        read_posed_pairs(scannet, pairs=lists)
    for scene in ("scene0707_00", "scene0008_01"):
        folder = scannet / "scans_test" / scene / "pose"
        folder.mkdir()
        for i in range(3):
            pose = np.linalg.inv(np.vstack([camera(i), [0, 0, 0, 1]]))
            (folder / f"{15 * i}.txt").write_text(text_of(pose))
    found = read_posed_pairs(scannet, pairs=lists)
    check(found, ["scene0707_00", "scene0008_01"], scannet_name, size_wh=(640, 480))


# ---- what is no data ----


def test_says_what_it_expects(tmp_path) -> None:
    with pytest.raises(NotAFolderError, match="is not a folder; expected SCENE/images"):
        read_posed_pairs(tmp_path / "none")
    with pytest.raises(InputError, match="no layout that is known, expected SCENE/images"):
        read_posed_pairs(tmp_path)
    with pytest.raises(MissingFileError, match="expected a list of pairs"):
        read_posed_pairs(tmp_path, pairs=tmp_path / "none.txt")
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="holds no list of pairs"):
        read_posed_pairs(tmp_path, pairs=tmp_path / "x.npz")
    touch(tmp_path, "a_pairs_with_gt.txt", "b_pairs_with_gt.txt")
    with pytest.raises(InputError, match=r"several lists of pairs .*; name one with --pairs"):
        read_posed_pairs(tmp_path)
