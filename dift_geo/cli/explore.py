"""`dift-geo explore`: click a point in one photo, see where it is in others."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.cli.flags import command, take_device
from dift_geo.options import number

if TYPE_CHECKING:
    from dift_geo.cli.flags import Commands

__all__ = ["add_explore"]


def add_explore(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "explore",
        _explore,
        "click a point in one photo, see where it is in others",
        "dift-geo explore a.jpg b.jpg",
    )
    parser.add_argument("images", nargs="+", type=Path, help="two photos or more")
    parser.add_argument("--backend", default="tiny", metavar="NAME", help="as of `reconstruct`")
    parser.add_argument(
        "--size", type=number(int, least=16), default=640, metavar="PX", help="longest side"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, or auto")
    parser.add_argument(
        "--port", type=number(int, least=0, most=65535), default=0, metavar="N", help="0: any"
    )
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")


def _explore(
    images: list[Path], backend: str, size: int, port: int, no_browser: bool, **flags: object
) -> None:
    from dift_geo.explore.server import ExplorerServer
    from dift_geo.explore.similarity import Explorer, View

    explorer = Explorer(images, size=size, device=take_device(flags))
    view = View(backend=backend)
    explorer.projected(view)  # a backend that cannot be had is told before the page opens
    with ExplorerServer(explorer, images, view, port) as server:
        print(f"{server.url} until Ctrl-C; photos stay on this machine", flush=True)
        if not no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
