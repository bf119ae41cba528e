"""Files of known cameras, and the words of COLMAP's models."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.colmap.cameras import (
    KnownCamera,
    check_camera_models,
    check_intrinsics,
    colmap_camera,
    read_cameras,
    read_intrinsics,
)


def test_intrinsics_file(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("# known\n* SIMPLE_PINHOLE 500 320 240\na.png PINHOLE 500 501 320 240\n")
    assert read_intrinsics(path) == {
        "*": ("SIMPLE_PINHOLE", [500, 320, 240]),
        "a.png": ("PINHOLE", [500, 501, 320, 240]),
    }
    path.write_text("* SIMPLE_PINHOLE 500 320\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: SIMPLE_PINHOLE got 2 parameters, expected 3"
    ):
        read_intrinsics(path)
    path.write_text("* SIMPLE_PINHOLE 640 480 500 320 240\n")  # hloc's lists begin so
    with pytest.raises(ValueError, match=r"got 5 parameters, expected 3; leave out width and"):
        read_intrinsics(path)
    path.write_text("* PINHOL 500\n")
    with pytest.raises(ValueError, match=r"expected `IMAGE_NAME MODEL PARAMS...`"):
        read_intrinsics(path)


LINES = "a.png PINHOLE 500 501 320 240\nsub/my b.png SIMPLE_PINHOLE 500 320 240\n"
READ = {
    "a.png": ("PINHOLE", [500, 501, 320, 240]),
    "sub/my b.png": ("SIMPLE_PINHOLE", [500, 320, 240]),
}


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        LINES.encode("utf-8-sig"),
        LINES.encode("utf-16"),
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("a.png", "./a.png").replace("/", "\\").encode(),
        LINES.replace(" PIN", "\tPIN").replace("a.png", '"a.png"').encode(),
        f"# two\n\n#x.png PINHOLE 1 1 1 1\n{LINES}".encode(),
        LINES.replace("240\n", "240  # mine, PINHOLE 3\n").encode(),
    ],
)
def test_intrinsics_as_people_write_them(tmp_path, data):
    (tmp_path / "cameras.txt").write_bytes(data)
    assert read_intrinsics(tmp_path / "cameras.txt") == READ


def test_names_that_look_like_something_else(tmp_path):
    (tmp_path / "c.txt").write_text(
        '"#1.png" SIMPLE_PINHOLE 9 8 7\n'
        "PINHOLE SIMPLE_PINHOLE 9 8 7\na  PINHOLE 1 PINHOLE 9 9 8 7\n"
    )
    assert list(read_intrinsics(tmp_path / "c.txt")) == ["#1.png", "PINHOLE", "a  PINHOLE 1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png PINHOLE 500 nan 320 240", "txt:1: PINHOLE got .*nan.*, expected finite numbers"),
        ("a.png PINHOLE 500 inf 320 240", "txt:1: PINHOLE got .*inf.*, expected finite numbers"),
        ("* PINHOLE 500 -500 320 240", "txt:1: PINHOLE got fy = -500, expected pixels above 0"),
        ("* SIMPLE_RADIAL 0 320 240 0", "SIMPLE_RADIAL got f = 0, expected pixels above 0"),
        ("* PINHOLE 500 500 320 -240", "PINHOLE got cy = -240, expected pixels above 0"),
        ("* PINHOLE\n* PINHOLE 5 5 5 5", "txt:1: PINHOLE got 0 parameters, expected 4"),
        ("PINHOLE 5 5 5 5", "txt:1: 'PINHOLE 5 5 5 5', expected `IMAGE_NAME MODEL PARAMS"),
        ("* PINHOLE 5 5 5 5\n* PINHOLE 5 5 5 5", r"txt:2: '\*' for the second time, expected"),
        ("# nothing", "txt holds no camera, expected lines `IMAGE_NAME MODEL PARAMS"),
    ],
)
def test_cameras_that_cannot_be_are_refused(tmp_path, line, message):
    (tmp_path / "c.txt").write_text(line)
    with pytest.raises(ValueError, match=message):
        read_intrinsics(tmp_path / "c.txt")


def test_a_number_sign_in_a_name_begins_no_comment(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("my photo 1 #2.png PINHOLE 500 501 320 240 # PINHOLE\n")
    assert read_intrinsics(path) == {"my photo 1 #2.png": ("PINHOLE", [500, 501, 320, 240])}


def test_distortion_may_have_any_sign(tmp_path):
    (tmp_path / "c.txt").write_text("* SIMPLE_RADIAL 500 320 240 -0.3\n")
    assert read_intrinsics(tmp_path / "c.txt")["*"][1][3] == -0.3


def test_cameras_of_a_script_are_checked_as_those_of_a_file():
    for params in ([500.0], [], [500.0, -500.0, 320.0, 240.0], [float("nan")] * 4):
        with pytest.raises(ValueError, match=r"intrinsics of 'a.png': PINHOLE got"):
            check_intrinsics({"a.png": ("PINHOLE", params)})
    with pytest.raises(ValueError, match="camera_model is 'RADIO'"):
        check_intrinsics({"a.png": ("RADIO", [1.0])})


ANY = ("PINHOLE", [500.0, 500.0, 320.0, 240.0])


@pytest.mark.parametrize("name", ["images/a.jpg", "A.jpg", "/home/x/images/a.jpg", "./a.JPG"])
def test_names_that_nearly_fit_are_refused_with_the_one_that_is_meant(name):
    for known in ({name: ANY}, {name: ANY, "*": ANY}, {name: ANY, "b.jpg": ANY}):
        with pytest.raises(ValueError, match=r"none of the 2 photos; is 'a.jpg' meant\?"):
            check_intrinsics(known, ["a.jpg", "b.jpg"])


def test_names_of_none_of_the_photos_are_refused_unless_others_fit():
    with pytest.raises(ValueError, match=r"for 'x.jpg', which is none of the 2 photos such as 'a."):
        check_intrinsics({"x.jpg": ANY, "y.jpg": ANY}, ["a.jpg", "b.jpg"])
    check_intrinsics({"x.jpg": ANY, "a.jpg": ANY}, ["a.jpg", "b.jpg"])  # of a larger set
    check_intrinsics({"x.jpg": ANY, "*": ANY}, ["a.jpg", "b.jpg"])
    check_intrinsics({}, ["a.jpg"])


def test_cameras_file_round_trip_and_errors(tmp_path):
    file = tmp_path / "cameras.txt"
    file.write_text("# comment\n\na.jpg 640 480 600 601 319.5 239.5 1 0 0 4 0 1 0 5 0 0 1 6\n")
    camera = read_cameras(file)["a.jpg"]
    assert camera.size_wh == (640, 480)
    np.testing.assert_array_equal(camera.K, [[600, 0, 319.5], [0, 601, 239.5], [0, 0, 1]])
    np.testing.assert_array_equal(camera.cam_from_world, [[1, 0, 0, 4], [0, 1, 0, 5], [0, 0, 1, 6]])
    file.write_text("a.jpg 640 480 600\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: 'a.jpg 640 480 600'..., expected name width"
    ):
        read_cameras(file)


POSE = "1 0 0 4 0 1 0 5 0 0 1 6"


def test_cameras_files_as_people_write_them(tmp_path):
    file = tmp_path / "cameras.txt"
    line = f"./my a.jpg 640 480 600 601 319.5 239.5 {POSE}\r\n"
    for data in (line.encode("utf-8-sig"), line.encode("utf-16"), f"# x\n{line}".encode()):
        file.write_bytes(data)
        assert list(read_cameras(file)) == ["my a.jpg"]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (f"640 480 nan 601 319.5 239.5 {POSE}", "txt:1: NaN or infinity, expected finite"),
        (f"640 480 -600 601 319.5 239.5 {POSE}", "focal lengths -600 and 601, expected whole"),
        (f"640.5 480 600 601 319.5 239.5 {POSE}", "640.5 x 480 pixels and focal lengths"),
        ("640 480 600 601 1 1 1 0 0 4 0 2 0 5 0 0 1 6", "turns by no rotation, expected rows"),
        ("640 480 600 601 1 1 1 0 0 4 0 1 0 5 0 0 -1 6", "turns by no rotation, expected rows"),
    ],
)
def test_known_cameras_that_cannot_be_are_refused(tmp_path, numbers, message):
    (tmp_path / "cameras.txt").write_text(f"a.jpg {numbers}\n")
    with pytest.raises(ValueError, match=message):
        read_cameras(tmp_path / "cameras.txt")


def test_a_camera_given_twice_is_refused(tmp_path):
    line = f"a.jpg 640 480 600 601 319.5 239.5 {POSE}\n"
    (tmp_path / "cameras.txt").write_text(line + line)
    with pytest.raises(ValueError, match=r"txt:2: 'a.jpg' for the second time"):
        read_cameras(tmp_path / "cameras.txt")


def test_unknown_camera_models_are_refused():
    check_camera_models(["PINHOLE", "SIMPLE_RADIAL"])
    check_camera_models([])
    for word in ("PINHOL", "INVALID", ""):
        expected = f"camera_model is '{word}', expected one of SIMPLE_PINHOLE, PINHOLE"
        with pytest.raises(ValueError, match=expected):
            check_camera_models(["PINHOLE", word])


def test_colmap_projects_half_a_pixel_further():
    K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
    theirs = colmap_camera(KnownCamera((640, 480), K, np.eye(3, 4)), 7)
    assert (theirs.camera_id, theirs.width, theirs.height) == (7, 640, 480)
    xyz = np.array([[0.1, -0.2, 1], [0, 0, 1], [-0.3, 0.3, 2]])
    ours = (xyz @ K.T)[:, :2] / xyz[:, 2:]
    np.testing.assert_allclose([theirs.img_from_cam(point) for point in xyz], ours + 0.5)
