"""The page of a run: `OUT` of a reconstruction in, `OUT/report.html` out.

Reads what the run left and what the user adds to it; changes nothing else in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dift_geo.colmap.seen import SeenModel, read_poses, read_seen
from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import parse_json
from dift_geo.progress import progress
from dift_geo.report.embed import photo_text
from dift_geo.report.graph import Graph
from dift_geo.report.model import POINTS, choose_pairs, model_data, pair_rows, photo_rows
from dift_geo.report.page import PAGE, asset, leaves, render, write_page
from dift_geo.report.truth import Truth, compare_poses

__all__ = ["SUMMARY", "report_model"]

SUMMARY = "summary.json"
SCRIPTS = ("three.min.js", "page.js", "scene.js")
PLAIN = (int, float, str)
TONES = {  # classes of the style sheet by the words of certificates
    **dict.fromkeys(("high", "good", "trusted"), "good"),
    **dict.fromkeys(("medium", "doubtful", "uncertain"), "doubt"),
    **dict.fromkeys(("low", "bad", "untrusted"), "bad"),
}
Data = Mapping[str, Any]  # as JSON holds it


def report_model(
    out: str | Path, *, images: str | Path | None = None, truth: str | Path | None = None
) -> Path:
    """Write the page of a reconstruction; returns where it lies.

    out: holds summary.json, database.db and sparse/, and gets report.html.
    images: folder of the photos; None takes the one that the run wrote down.
    truth: true poses, a COLMAP model's folder or a text as `read_cameras` takes it.

    Raises MissingFileError and InputError for what is not there or does not belong together.
    """
    out = Path(out)
    summary = _read_summary(out / SUMMARY)
    photos = _photo_folder(summary, images)
    true = None if truth is None else read_poses(truth)
    seen = read_seen(out / "database.db", out / "sparse")
    compared = None if true is None else compare_poses(_poses(seen), true)
    write_page(out / PAGE, _page(out, summary, seen, photos, compared))
    return out / PAGE


def _page(out: Path, summary: Data, seen: SeenModel, photos: Path, truth: Truth | None) -> str:
    chosen = choose_pairs(seen)
    names = list(seen.photos)
    pictures = {
        name: photo_text(photos / name, len(names))
        for name in progress(names, "report", unit="photo")
    }
    rows = photo_rows(seen)
    return render(
        "model.html",
        scripts=SCRIPTS,
        data=model_data(seen, chosen, lambda name: pictures[name]),
        title=out.resolve().name,
        summary=summary,
        trust=_trust(summary),
        photos=rows,
        registered=[row for row in rows if row["registered"]],
        uncertain=bool(seen.uncertainty),
        absent=[name for name, picture in pictures.items() if picture is None],
        pairs=pair_rows(chosen),
        left_out=chosen.left_out,
        gallery=chosen.gallery,
        graph=Graph.of(seen, chosen.pairs),
        points=len(seen.xyz),
        points_shown=min(len(seen.xyz), POINTS),
        recipe=list(leaves(summary.get("recipe", {}))),
        truth=truth,
        licence=asset("three.LICENSE.txt"),
    )


def _poses(seen: SeenModel) -> dict[str, Any]:
    known = seen.photos.items()
    return {name: p.cam_from_world for name, p in known if p.cam_from_world is not None}


def _read_summary(path: Path) -> Data:
    if not path.is_file():
        raise MissingFileError(f"no summary at {path}; expected the OUT of `dift-geo reconstruct`")
    try:
        summary = parse_json(path.read_bytes())
        summary["registered"], summary["images"]
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path} is no summary of a reconstruction ({error}); run `dift-geo reconstruct` again"
        ) from error
    return dict(summary)


def _photo_folder(summary: Data, images: str | Path | None) -> Path:
    folder = images or summary.get("photos")
    if folder is None:
        raise InputError("summary.json does not say where the photos lie; name them by --images")
    if not Path(folder).is_dir():
        raise InputError(f"{folder} is not a folder of photos; name it by --images")
    return Path(folder)


def _trust(summary: Data) -> Data | None:
    """The certificate of a run, its numbers apart; None where it wrote none."""
    trust = summary.get("trust")
    if not isinstance(trust, Mapping):
        return None
    level, reasons = str(trust.get("level", "unknown")), trust.get("reasons", [])
    return {
        "level": level,
        "tone": TONES.get(level, ""),
        "reasons": [str(reason) for reason in reasons],
        "also": {k: v for k, v in trust.items() if isinstance(v, PLAIN) and k != "level"},
    }
