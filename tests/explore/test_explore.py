"""The explorer: a point of a photo is found in its warped copy, by the server the page asks."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import numpy as np
import pytest

from dift_geo.errors import InputError
from dift_geo.explore.server import ExplorerServer
from dift_geo.explore.similarity import Explorer, View
from tests.explore.warped import POINTS, off_px, shares


def talk(server, method, place, body=None, **headers):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=250)
    sent = {"Content-Type": "application/json", **headers}
    connection.request(method, place, None if body is None else json.dumps(body), sent)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


@pytest.mark.parametrize("reading", ["dense", "oriented"])
def test_points_are_found_in_the_warped_photo(server, reading) -> None:
    off, mutual = [], 0
    for xy in POINTS:
        x, y = shares(xy)
        asked = {"image": 0, "x": x, "y": y, "reading": reading}
        status, text = talk(server, "POST", "/look", asked)
        assert status == 200, text
        itself, there = json.loads(text)["found"]
        assert itself["score"] > 0.9
        off.append(off_px(there, xy))
        mutual += there["mutual"]
    assert np.median(off) < 5
    assert mutual >= 2


def test_views_differ_and_a_projection_needs_its_own_layer(paths) -> None:
    explorer = Explorer(paths)
    own, raw, other = View(), View(projected=False), View(t=300)
    answers = [explorer.look(view, 0, (0.5, 0.5))[1].heat for view in (own, raw, other)]
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[1], answers[2])
    assert not explorer.projected(raw)
    assert not explorer.projected(other)
    h, w = answers[0].shape
    assert (w, h) == (96, 72)


def test_what_is_no_question_is_told(server, paths) -> None:
    for asked in ({"image": 7, "x": 0.5, "y": 0.5}, {"image": 0, "x": 2, "y": 0}, {}, [1]):
        status, text = talk(server, "POST", "/look", asked)
        assert status == 400, text
    status, text = talk(server, "POST", "/look", {"image": 0, "x": 0, "y": 0, "reading": "none"})
    assert (status, "expected one of dense, oriented" in text) == (400, True)
    with pytest.raises(InputError, match="expected 2 or more"):
        Explorer(paths[:1])
    with pytest.raises(InputError, match="port"):
        ExplorerServer(server.explorer, paths, View(), server.server_port)


def test_other_pages_are_not_answered(server) -> None:
    """Neither a name that leads here by somebody's DNS, nor a form of another page."""
    asked = {"image": 0, "x": 0.5, "y": 0.5}
    assert talk(server, "GET", "/", Host="evil.example")[0] == 404
    assert talk(server, "POST", "/look", asked, **{"Content-Type": "text/plain"})[0] == 403
    assert talk(server, "GET", "/etc/passwd")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


def test_the_page_asks_this_server_and_a_shared_one_nobody(server) -> None:
    status, page = talk(server, "GET", "/")
    assert status == 200
    assert "connect-src 'self'" in page.replace("&#39;", "'")
    status, shared = talk(server, "POST", "/page", [{"image": 0, "x": 0.5, "y": 0.5}])
    assert status == 200
    assert "connect-src 'none'" in shared.replace("&#39;", "'")
    assert '"mutual"' in shared
    assert "Save as a page" not in shared
