"""An explorer of a photo and its warped copy, and its server."""

from __future__ import annotations

from threading import Thread

import cv2
import pytest
from conftest import textured

from dift_geo.explore.server import ExplorerServer
from dift_geo.explore.similarity import Explorer, View
from dift_geo.images import write_image
from tests.explore.warped import H, M, W


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    picture = textured((W, H), 3)
    write_image(folder / "a.png", picture)
    write_image(folder / "b.png", cv2.warpAffine(picture, M, (W, H)))
    return [folder / "a.png", folder / "b.png"]


@pytest.fixture(scope="module")
def server(paths):
    explorer = Explorer(paths)
    explorer.look(View(), 0, (0.5, 0.5))  # libraries are loaded here, where nobody waits
    served = ExplorerServer(explorer, paths, View())
    thread = Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()
