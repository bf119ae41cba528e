"""JHMDB: numbers counted by hand, the layouts of its list, and the whole command on a made clip."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from dift_geo.backends.tasks import JOINTS as SETTINGS
from dift_geo.benchmark.joints.data import JOINTS, read_jhmdb
from dift_geo.benchmark.joints.score import joint_errors
from dift_geo.benchmark.loop import score_items
from dift_geo.benchmark.run import open_joints
from dift_geo.benchmark.table import ScoreTable
from dift_geo.cli.main import main
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import write_image


def test_errors_are_shares_of_the_box():
    # the box is 30 x 40, its diagonal 50, of which 0.6 are 30
    truth = np.array([[[0, 0], [30, 0], [30, 40]]], float)
    found = truth + np.array([[3, 4], [0, 0], [0, 12]])
    assert joint_errors(found, truth)[0].tolist() == pytest.approx([5 / 30, 0, 12 / 30])
    # without the last joint the box is 30 x 0, of which 0.6 are 18
    found[0, 2] = np.nan
    assert joint_errors(found, truth)[0].tolist() == pytest.approx([5 / 18, 0, np.nan], nan_ok=True)
    found[:] = np.nan
    assert np.isnan(joint_errors(found, truth)).all()
    assert np.isinf(joint_errors(truth[:, :1], truth[:, :1])).all()  # a box of no extent


def test_joints_that_stay_in_the_real_clip(data):
    """Counted joint by joint and frame by frame, as eval_pck.py does."""
    task = open_joints(data / "video" / "JHMDB")
    (clip,) = task.data.clips
    assert (len(clip.frames), clip.xy.shape) == (40, (40, 15, 2))
    assert clip.xy[0, 0].tolist() == [285.5, 105.5]  # 286.5 and 106.5 in the file
    stays = dict.fromkeys(clip.frames, clip.xy[0])
    table = ScoreTable(tuple(score_items(task, task.items(), stays, {})), task.measures)
    for alpha in (0.1, 0.2):
        shares = []
        for joint in range(15):
            right = 0
            for frame in range(1, 40):
                xs, ys = clip.xy[frame].T
                diagonal = np.hypot(xs.max() - xs.min(), ys.max() - ys.min())
                right += np.hypot(*(clip.xy[0, joint] - clip.xy[frame, joint])) <= (
                    alpha * 0.6 * diagonal
                )
            shares.append(right / 39)
        assert table.summary()[f"pck@{alpha}"] == pytest.approx(np.mean(shares))
    assert table.summary()["lost"] == 0


@pytest.fixture
def jhmdb(tmp_path, texture):
    """A clip whose picture moves by 8 pixels a frame, and one of whose frames there are none."""
    folder, big = tmp_path / "JHMDB", texture((240, 160), 2)
    frames, joints = (folder / part / "jump" / "one" for part in ("Rename_Images", "joints"))
    joints.mkdir(parents=True)
    frames.mkdir(parents=True)
    random = np.random.default_rng(0)
    first = random.uniform((70, 40), (130, 120), (15, 2)).round()
    for number in range(4):
        write_image(frames / f"{number + 1:05d}.png", big[:, 8 * number : 8 * number + 160])
    xy = first - np.array([[8, 0]]) * np.arange(4)[:, None, None]
    savemat(joints / "joint_positions.mat", {"pos_img": xy.transpose(2, 1, 0) + 1})
    (folder / "splits").mkdir()
    lost = "/home/x/Rename_Images/jump/two joints/jump/one/joint_positions.mat"
    own = "Rename_Images/jump/one joints/jump/one/joint_positions.mat"
    (folder / "splits" / "val_list.txt").write_text(f"{own}\n{lost}\n")
    return folder


def test_the_command(jhmdb, tmp_path, monkeypatch, capsys):
    from dataclasses import replace

    from dift_geo.mapper import Mapper

    quick = replace(SETTINGS, short_side=160)
    monkeypatch.setattr(Mapper, "of_joints", lambda self: quick)
    words = ["evaluate", str(jhmdb), str(tmp_path / "out"), "--protocol", "jhmdb"]
    rows = ["--method", "still:backend=still", "--method", "tiny", "--bootstrap", "5"]
    assert main([*words, *rows, "--pictures", "1"]) == 3  # one clip is lost
    both = capsys.readouterr()
    assert "jump/two is left out: 0 frames" in both.err
    assert "*quoted:* CRW, its paper" in both.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["joints"] == 15
    still, tiny = (results["methods"][name]["all"] for name in ("still", "tiny"))
    # by hand: everything moves by 8, 16 and 24 pixels against 0.6 of the diagonal of the joints
    xy = read_jhmdb(jhmdb, ["jump/one"]).clips[0].xy[0]
    side = 0.6 * np.hypot(*np.ptp(xy, axis=0))
    for alpha in (0.1, 0.2, 0.5):
        right = sum(8 * step <= alpha * side for step in (1, 2, 3))
        assert still[f"pck@{alpha}"] == pytest.approx(right / 3)
    assert tiny["pck@0.1"] > still["pck@0.1"] + 0.5
    assert tiny["lost"] == 0
    (file,) = (tmp_path / "out" / "cache" / "tiny").rglob("*.npy")
    before = file.stat().st_mtime_ns
    assert main([*words, *rows, "--pictures", "0"]) == 3
    assert before == file.stat().st_mtime_ns
    for flags, says in (
        (["--soft-argmax"], "nothing that --soft-argmax could act on"),
        (["--predictions", "a=b"], "nothing that --predictions could act on"),
        (["--sequences", "cat*"], "no clip cat* in"),
    ):
        assert main([*words, *flags]) == 1
        assert says in capsys.readouterr().err


def test_damaged_layouts(jhmdb, tmp_path):
    with pytest.raises(MissingFileError, match="JHMDB with a list"):
        read_jhmdb(tmp_path)
    file = jhmdb / "joints" / "jump" / "one" / "joint_positions.mat"
    savemat(file, {"pos_img": np.zeros((2, len(JOINTS), 9))})
    assert "4 frames in" in read_jhmdb(jhmdb).problems[0]
    savemat(file, {"pos_img": np.zeros((2, 3, 4))})
    assert "has shape (2, 3, 4), expected finite (2, 15, T)" in read_jhmdb(jhmdb).problems[0]
    file.write_bytes(b"no matlab")
    assert "holds no pos_img that can be read" in read_jhmdb(jhmdb).problems[0]
    file.unlink()
    assert "joint_positions.mat" in read_jhmdb(jhmdb).problems[0]
    (jhmdb / "splits" / "val_list.txt").write_text("one\n")
    with pytest.raises(InputError, match="1 words in line 1"):
        read_jhmdb(jhmdb)
