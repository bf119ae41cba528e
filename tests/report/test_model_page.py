"""The page of a model, without a browser: what it says, what it holds, what it must not ask for."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from base64 import b64decode, b64encode
from contextlib import closing
from hashlib import sha256
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from dift_geo.cli.main import main
from dift_geo.colmap.seen import read_seen
from dift_geo.colmap.uncertainty import camera_uncertainties
from dift_geo.detectors.colmap_database import ColmapDatabase, pair_id_of
from dift_geo.errors import InputError, MissingFileError
from dift_geo.report.embed import LONGEST, PHOTO_BYTES, photo_side, photo_text, within
from dift_geo.report.model import choose_pairs, model_data
from dift_geo.report.page import write_page
from dift_geo.report.run import report_model


class Page(HTMLParser):
    """What a browser would find: attributes that load something, scripts, styles, words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.parts: dict[str, list[str]] = {"script": [], "style": []}
        self.policy, self.words, self.handlers = "", "", 0
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self._in = tag
        self.words += " "
        known = dict(attrs)
        self.handlers += any(name.startswith("on") or name == "style" for name in known)
        self.loads += [(tag, known[name] or "") for name in ("src", "href") if name in known]
        if tag in self.parts:
            kind = known.get("type") or "code"
            self._in = tag if kind == "code" else "data"
            if kind == "code":
                self.parts[tag].append("")
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_data(self, data) -> None:
        if self._in in self.parts:
            self.parts[self._in][-1] += data
        elif self._in == "data":
            self.data = json.loads(data)
        else:
            self.words += data

    def handle_endtag(self, tag) -> None:
        self._in = ""


@pytest.fixture(scope="session")
def page(run) -> Page:
    path = report_model(run.out, truth=run.truth)
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_is_asked_for(page) -> None:
    assert all(place.startswith(("data:", "#")) for _, place in page.loads), page.loads
    assert page.handlers == 0  # the policy would forbid them
    assert page.policy.startswith("default-src 'none'; img-src data: blob:;")
    own = [sha256(text.encode()).digest() for kind in page.parts.values() for text in kind]
    hashes = {f"'sha256-{b64encode(digest).decode()}'" for digest in own}
    assert set(re.findall(r"'sha256-[^']+'", page.policy)) == hashes
    assert "unsafe" not in page.policy
    assert "http" not in page.policy


def test_what_it_says_is_what_the_run_wrote(page, run) -> None:
    summary = json.loads((run.out / "summary.json").read_text())
    assert summary["registered"] == 4
    words = " ".join(page.words.split())
    assert "photos in the model 4 of 4" in words
    assert f"reprojection error {summary['reprojection_px']:.2f} px" in words
    assert f"Can it be trusted? {summary['trust']['level']}" in words
    assert "The median is 0.0" in words  # exact projections: the truth is met
    assert "view 2.png" in words


def test_a_certificate_is_shown(run, tmp_path) -> None:
    out = tmp_path / "out"
    shutil.copytree(run.out, out)
    summary = json.loads((out / "summary.json").read_text())
    trust = {"level": "doubtful", "reasons": ["a & b <disagree>"], "runs_agree_deg": 1.25}
    (out / "summary.json").write_text(json.dumps({**summary, "trust": trust}))
    words = " ".join(Page(report_model(out).read_text(encoding="utf-8")).words.split())
    del summary["trust"]
    (out / "summary.json").write_text(json.dumps(summary))
    without = " ".join(Page(report_model(out).read_text(encoding="utf-8")).words.split())
    assert "This run wrote no certificate of trust" in without
    said = "Can it be trusted? doubtful a & b <disagree> Numbers of the certificate "
    assert f"{said}runs agree deg 1.25" in words


def test_photos_say_how_sure_their_cameras_are(page, run) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    spread = camera_uncertainties(pycolmap.Reconstruction(str(run.out / "sparse")))
    words = " ".join(page.words.split())
    assert 0 < len(spread) < 4  # two photos fix the frame
    for one in spread.values():
        assert f"{one.rotation_deg:.3f} {one.centre_deg:.3f}" in words


def test_the_data_are_the_model(page, run) -> None:
    seen = read_seen(run.out / "database.db", run.out / "sparse")
    points, photos = page.data["points"], page.data["photos"]
    xyz = np.frombuffer(b64decode(points["xyz"]), "<f4").reshape(-1, 3)
    assert len(xyz) == len(seen.xyz) > 90
    # a turn and one scale: all distances are those of the model, times one number
    order = np.argsort(-seen.track, kind="stable")
    gaps = [np.linalg.norm(np.diff(p, axis=0), axis=1) for p in (xyz, seen.xyz[order])]
    assert np.allclose(gaps[0] / gaps[1], (gaps[0] / gaps[1])[0], rtol=1e-3)
    # points that a photo sees are projected to its keypoints by what the page says of its camera
    for photo, own in zip(photos, seen.photos.values()):
        R = np.reshape(photo["pose"]["R"], (3, 3))
        rows = np.argsort(order)[own.point[own.point >= 0]]
        before = (xyz[rows] - photo["pose"]["centre"]) @ R
        shares = before[:, :2] / before[:, 2:] / photo["pose"]["tan"] / 2 + 0.5
        count = len(rows)
        drawn = np.frombuffer(b64decode(photo["xy"]), "<u2").reshape(-1, 2)[:count] / 65536
        assert np.abs(shares - drawn).max() < 0.01
        assert photo["src"].startswith("data:image/jpeg;base64,")


def test_pairs_against_the_model_are_found(run) -> None:
    seen = read_seen(run.out / "database.db", run.out / "sparse")
    assert all((pair.agreement or 0) > 0.95 for pair in seen.pairs)  # exact projections
    assert all(105 <= pair.inliers.sum() <= 120 for pair in seen.pairs)  # 15 are wrong
    wrong = seen.pairs[0].pairs.copy()
    wrong[:, 1] = np.roll(wrong[:, 1], 7)  # keypoints of other points: not on their lines
    copy = run.out.parent / "against.db"
    shutil.copy(run.out / "database.db", copy)
    with closing(sqlite3.connect(copy)) as sql, sql:
        ids = ColmapDatabase(copy, sql).image_ids()
        key = pair_id_of(ids[seen.pairs[0].name0], ids[seen.pairs[0].name1])
        data = wrong.astype(np.uint32).tobytes()
        for table in ("matches", "two_view_geometries"):
            change = f"UPDATE {table} SET rows = ?, data = ? WHERE pair_id = ?"
            sql.execute(change, (len(wrong), data, key))
    changed = read_seen(copy, run.out / "sparse")
    names = seen.pairs[0].name0, seen.pairs[0].name1
    pair = next(pair for pair in changed.pairs if (pair.name0, pair.name1) == names)
    assert pair.agreement is not None
    assert pair.agreement < 0.5
    chosen = choose_pairs(changed, most=1)  # what is wrong comes first
    assert [pair.name0 for pair in chosen.pairs] == [names[0]]
    assert chosen.left_out == 5
    assert chosen.gallery["against the model"] == [0]
    shown = model_data(changed, chosen, lambda name: None)["pairs"]
    assert shown[0]["inliers"] == len(wrong)


def test_names_cannot_leave_their_place(run, tmp_path) -> None:
    hostile = "</script><script>alert(1)</script>"
    out = tmp_path / hostile.replace("/", "_")
    shutil.copytree(run.out, out)
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps({**summary, "skipped": [hostile]}))
    found = Page(report_model(out).read_text(encoding="utf-8"))
    assert hostile in found.words
    assert len(found.parts["script"]) == 3


def test_photos_keep_to_their_budget(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 960, 3), np.uint8)  # the worst case
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    for count in (1, 50, 400):
        text = photo_text(tmp_path / "a.png", count)
        assert text is not None
        data = b64decode(text.partition(",")[2])
        size = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape
        assert max(size) <= photo_side(count) <= LONGEST
        assert len(data) <= max(PHOTO_BYTES // count, 25_000)
    (tmp_path / "b.png").write_text("no photo")
    assert photo_text(tmp_path / "b.png", 1) is None
    assert photo_text(tmp_path / "c.png", 1) is None


def test_shares_of_a_photo() -> None:
    shares = within(np.array([[-0.5, -0.5], [1.5, 0.5], [3.5, 1.5]]), (4, 2))
    assert shares.tolist() == [[0, 0], [32768, 32768], [65535, 65535]]


def test_what_is_not_there_is_told(run, tmp_path, capsys) -> None:
    with pytest.raises(MissingFileError, match="no summary"):
        report_model(tmp_path)
    with pytest.raises(InputError, match="--images"):
        report_model(run.out, images=tmp_path / "moved")
    (tmp_path / "truth.txt").write_text("other.jpg 4 4 1 1 1 1 1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(InputError, match="0 photos of the model have a true pose"):
        report_model(run.out, truth=tmp_path / "truth.txt")
    assert main(["report", str(tmp_path)]) == 1
    assert "neither summary.json nor results.json" in capsys.readouterr().err


def test_only_a_page_of_ours_is_replaced(tmp_path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>mine</p>")
    with pytest.raises(InputError, match="was not made by dift-geo report"):
        write_page(page, "new")
    assert page.read_text() == "<p>mine</p>"


def test_the_command_takes_moved_photos_and_a_model_as_truth(run, tmp_path, capsys) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.images, moved)
    words = ["report", run.out, "--images", moved, "--truth", run.out / "sparse"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"page  {run.out / 'report.html'}, ")
    assert said.endswith(" MB\n")
    assert main([*map(str, words), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    page = run.out / "report.html"
    assert facts == {"page": str(page), "bytes": page.stat().st_size}
