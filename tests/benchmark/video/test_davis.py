"""DAVIS-2017: the numbers of davis2017-evaluation on real predictions, and the whole command on a
made sequence.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest

from dift_geo.benchmark.video.data import read_davis
from dift_geo.benchmark.video.score import boundary_f, region_j
from dift_geo.cli.main import main
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import write_image
from dift_geo.video.masks import read_mask, write_mask

# computed by davis2017-evaluation ac7c43f: mean, recall, decay
OSVOS = {
    "blackswan": ((0.943020, 1.0, 0.001408), (0.974096, 1.0, -0.000416)),
    "dog": ((0.710792, 0.724138, 0.148150), (0.691109, 0.793103, 0.131440)),
}


def test_the_numbers_are_those_of_the_official_program(data, tmp_path):
    davis = data / "video" / "DAVIS"
    words = ["evaluate", str(davis), str(tmp_path), "--protocol", "davis2017", "--bootstrap", "5"]
    rows = ["--predictions", f"osvos={davis / 'results_osvos'}", "--pictures", "0"]
    assert main([*words, *rows, "--sequences", *OSVOS]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    for name, both in OSVOS.items():
        found = results["methods"]["osvos"]["sequences"][name]
        for way, numbers in zip("JF", both):
            own = [found[f"{way}{which}"] for which in ("", "_recall", "_decay")]
            assert own == pytest.approx(numbers, abs=1e-6), (name, way)
    numbers = results["methods"]["osvos"]["all"]
    assert numbers["J&F"] == pytest.approx((0.943020 + 0.974096 + 0.710792 + 0.691109) / 4)


def disc(x, y, radius=20):
    yy, xx = np.mgrid[:96, :160]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def test_j_and_f_of_masks_that_are_known():
    empty, one = np.zeros((96, 160), bool), disc(60, 40)
    assert region_j(empty, empty) == boundary_f(empty, empty) == 1
    assert region_j(one, empty) == boundary_f(one, empty) == boundary_f(empty, one) == 0
    assert region_j(one, one) == boundary_f(one, one) == 1
    half = one & (np.arange(160) < 60)
    assert region_j(half, one) == half.sum() / one.sum()
    # contours may be ceil(0.008 * 186.6) = 2 pixels apart
    assert boundary_f(np.roll(one, 2, 1), one) == 1
    assert boundary_f(np.roll(one, 9, 1), one) < 0.5
    assert boundary_f(np.ones((9, 9), bool), np.zeros((9, 9), bool)) == 1  # no contour inside


@pytest.fixture
def davis(tmp_path, texture):
    """Two discs, of which one moves over a resting picture."""
    folder = tmp_path / "DAVIS"
    for part in ("JPEGImages", "Annotations"):
        (folder / part / "480p" / "pair").mkdir(parents=True)
    ground, figure = texture((160, 96), 1), texture((160, 96), 2)
    for number in range(5):
        mask = np.where(disc(40 + 8 * number, 40), 1, np.where(disc(130, 70, 12), 2, 0))
        image = np.where(mask[:, :, None] == 1, np.roll(figure, 8 * number, 1), ground)
        image[mask == 2] = image[mask == 2] // 2
        write_image(folder / "JPEGImages" / "480p" / "pair" / f"{number:05d}.jpg", image)
        name = folder / "Annotations" / "480p" / "pair" / f"{number:05d}.png"
        write_mask(name, mask.astype(np.uint8))
    (folder / "ImageSets" / "2017").mkdir(parents=True)
    (folder / "ImageSets" / "2017" / "val.txt").write_text("pair\nlost\n")
    return folder


def test_the_command(davis, tmp_path, monkeypatch, capsys):
    # a frame of 480 pixels is slow; what is tested is the way through
    from dift_geo.backends.tasks import Propagation
    from dift_geo.mapper import Mapper

    quick = Propagation(short_side=96, radius=4, frames=2)
    monkeypatch.setattr(Mapper, "propagation", lambda self: quick)
    words = ["evaluate", str(davis), str(tmp_path / "out"), "--protocol", "davis2017"]
    rows = ["--method", "copy:backend=still", "--method", "tiny", "--bootstrap", "5"]
    assert main([*words, *rows, "--pictures", "1"]) == 3  # one sequence is lost
    assert "lost is left out: 0 frames" in capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["objects"] == 2
    copied, tracked = (results["methods"][name]["all"] for name in ("copy", "tiny"))
    # of the copy by hand: the moving disc, and the resting one, which is found whole
    overlaps = [region_j(disc(40, 40), disc(40 + 8 * n, 40)) for n in (1, 2, 3)]
    assert copied["J"] == pytest.approx((np.mean(overlaps) + 1) / 2)
    assert tracked["J"] > copied["J"]
    done = [*(tmp_path / "out" / "cache" / "tiny").rglob("*.png")]
    assert len(done) == 5
    before = {file: file.stat().st_mtime_ns for file in done}
    assert main([*words, *rows, "--pictures", "0"]) == 3
    assert before == {file: file.stat().st_mtime_ns for file in done}
    assert read_mask(sorted(done)[0]).max() == 2
    # rows of their own propagation, and what they were made with
    asked = ["--method", "near:top-k=2,radius=1", "--method", "wide", "--radius", "0"]
    assert main([*words, *asked, "--bootstrap", "5", "--pictures", "0"]) == 3
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    carried = {n: own["propagation"] for n, own in results["recipe"]["methods"].items()}
    assert carried["near"] == asdict(replace(quick, top_k=2, radius=1))
    assert carried["wide"] == asdict(replace(quick, radius=0))
    assert results["methods"]["near"]["all"] != results["methods"]["wide"]["all"]
    for flags, says in (
        (["--method", "a:side=64"], "expected flag=value with one of backend"),
        (["--method", "a:backend=still", "--top-k", "3"], "no row carries labels by what it sees"),
        (["--predictions", f"p={davis}", "--frames", "0"], "no row carries labels by what it sees"),
        (["--method", "a:frames=-1"], "frames is -1, expected at least 0"),
        (["--method", "a:backend=still,top-k=3"], "so top_k has nothing to act on"),
        (["--soft-argmax"], "nothing that --soft-argmax could act on"),
        (["--predictions", f"p={tmp_path / 'nowhere'}"], "no folder"),
        (["--sequences", "cat"], "no sequence cat; there are pair, lost"),
    ):
        assert main([*words, *flags]) == 1
        assert says in capsys.readouterr().err


def test_damaged_layouts(davis, tmp_path):
    with pytest.raises(MissingFileError, match="DAVIS-2017 as published"):
        read_davis(tmp_path)
    first = davis / "Annotations" / "480p" / "pair" / "00000.png"
    write_mask(first, np.zeros((96, 160), np.uint8))
    assert "shows no object" in read_davis(davis).problems[0]
    first.unlink()
    assert "00000.png and 0 more" in read_davis(davis).problems[0]


def test_masks_of_another_size_are_refused(davis, tmp_path):
    for number in range(5):
        (tmp_path / "own" / "pair").mkdir(parents=True, exist_ok=True)
        small = cv2.resize(np.ones((4, 4), np.uint8), (80, 48))
        write_mask(tmp_path / "own" / "pair" / f"{number:05d}.png", small)
    from dift_geo.benchmark.loop import evaluate_task
    from dift_geo.benchmark.run import open_video
    from dift_geo.benchmark.video.methods import PredictedMasks

    method = PredictedMasks("own", tmp_path / "own")
    with pytest.raises(InputError, match="is 80 x 48, expected 160 x 96"):
        evaluate_task(open_video(davis), tmp_path / "out", [method], draws=2, pictures=0)
