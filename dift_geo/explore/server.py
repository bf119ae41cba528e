"""The explorer's page and what answers it: a server that listens on 127.0.0.1 and nowhere else.

Other pages in the same browser cannot ask it: the name they came by and the kind of what they send
are checked. Knows no models.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

import numpy as np

from dift_geo.errors import DiftGeoError, InputError
from dift_geo.explore.similarity import CELLS, Explorer, Found, View
from dift_geo.jsonfiles import parse_json
from dift_geo.recipe import json_text
from dift_geo.report.embed import photo_text
from dift_geo.report.page import render

__all__ = ["HOST", "ExplorerServer"]

HOST = "127.0.0.1"
MOST = 1 << 20  # bytes of a request
POINTS = 50  # of a page that is shared
FIELDS = ("backend", "reading", "t", "layer", "projected")


class ExplorerServer(ThreadingHTTPServer):
    """Serves one explorer. `serve_forever` runs it, `url` says where.

    paths: of the photos, for the page.
    port: 0 takes a free one.

    Raises InputError where the port cannot be had.
    """

    daemon_threads = True

    def __init__(
        self, explorer: Explorer, paths: Sequence[Path], view: View, port: int = 0
    ) -> None:
        self.explorer, self.view, self.one_at_a_time = explorer, view, Lock()
        self.photos = [
            {
                "name": path.name,
                "src": photo_text(path, len(paths)),
                "w": im.shape[1],
                "h": im.shape[0],
            }
            for path, im in zip(paths, explorer.images)
        ]
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"port {port} cannot be had ({error.strerror or error}); choose another by --port"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    def page(self, kept: Sequence[object] = (), *, live: bool = True) -> str:
        """The page: one that asks this server, or one with kept answers that asks nobody."""
        view = {name: self.view.__dict__[name] for name in FIELDS}
        return render(
            "explore.html",
            scripts=("explore.js",),
            data={"photos": self.photos, "view": view, "kept": list(kept), "live": live},
            live=live,
            photos=self.photos,
            readings=list(CELLS),
        )

    def answer(self, asked: object) -> dict[str, object]:
        """What all photos say to one point. Raises InputError for what is no question."""
        if not isinstance(asked, dict):
            raise InputError(f"the question is {asked!r}, expected names and values")
        try:
            words = {name: asked[name] for name in FIELDS if asked.get(name) is not None}
            view = View(**{"backend": self.view.backend, **words})
            image, xy = int(str(asked["image"])), [float(str(asked[axis])) for axis in "xy"]
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"the question {asked} cannot be understood ({error})") from error
        with self.one_at_a_time:
            found = self.explorer.look(view, image, xy)
            projected = self.explorer.projected(view)
        answers = [_plain(one) for one in found]
        return {"image": image, "x": xy[0], "y": xy[1], "projected": projected, "found": answers}


def _plain(found: Found) -> dict[str, object]:
    low, high = float(np.median(found.heat)), float(found.heat.max())  # the better half glows
    shares = np.clip((found.heat - low) / max(high - low, 1e-9), 0, 1)
    levels = np.round(shares * 255).astype(np.uint8)
    return {
        "x": float(found.xy[0]),
        "y": float(found.xy[1]),
        "score": round(found.score, 4),
        "mutual": found.mutual,
        "low": round(low, 4),
        "rows": levels.shape[0],
        "columns": levels.shape[1],
        "heat": b64encode(levels.tobytes()).decode(),
    }


class _Handler(BaseHTTPRequestHandler):
    server: ExplorerServer

    def do_GET(self) -> None:
        if self._is_ours() and self.path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page())
        else:
            self._send(404, "text/plain", "not here")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not self._is_ours() or self.headers.get("Content-Type") != "application/json":
            return self._send(403, "text/plain", "not for other pages")
        try:
            if length > MOST:
                raise InputError(f"the question has {length} bytes, expected at most {MOST}")
            asked = parse_json(self.rfile.read(length))
            if self.path == "/look":
                return self._send(200, "application/json", json_text(self.server.answer(asked)))
            kept = [self.server.answer(one) for one in list(asked)[:POINTS]]
            return self._send(200, "text/html", self.server.page(kept, live=False))
        except (DiftGeoError, ValueError, TypeError) as error:
            return self._send(400, "text/plain; charset=utf-8", str(error))

    def _is_ours(self) -> bool:
        port = self.server.server_port
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _send(self, code: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal is the user's."""
