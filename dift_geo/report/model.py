"""What the page of a model shows, as plain data: arrays become text, numbers become rows.

Decides what is shown and how much of it; knows no HTML and no files but the photos it embeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.seen import SeenModel, SeenPair, SeenPhoto
from dift_geo.report.drawing import spread
from dift_geo.report.embed import array_text, within

__all__ = ["Chosen", "choose_pairs", "contradicts", "model_data", "pair_rows", "photo_rows"]

POINTS = 60_000  # at most, those of the longest tracks
KEYPOINTS = 2_000  # of a photo
PAIRS = 1_500  # that can be opened
MATCHES, MATCHES_OF_PAIR = 100_000, 300  # of all of them, of one of them
CONTRADICTS = 0.5  # share of a pair's inliers that agree with the model; below, it contradicts
NO_POINT, MOST_RESIDUAL, RESIDUAL_STEPS = 255, 250, 50  # states of a keypoint; steps per pixel
INLIER, AGREES = 1, 2  # bits of the state of a match
GALLERY = 3  # pairs of a kind
INSIDE = (5, 95)  # per cent of the points that the first view holds

Row = dict[str, object]


@dataclass(frozen=True)
class Chosen:
    """The pairs of a page.

    pairs: those that can be opened, most inliers first.
    left_out: how many others have matches.
    gallery: rows of `pairs` by what they are an example of.
    """

    pairs: Sequence[SeenPair]
    left_out: int
    gallery: Mapping[str, Sequence[int]]


def choose_pairs(seen: SeenModel, most: int = PAIRS) -> Chosen:
    """The pairs of a page and the examples among them: most, middling and fewest inliers, and those
    that contradict the model.

    most: so many can be opened; those that contradict the model come before others.
    """
    ranked = sorted(seen.pairs, key=lambda pair: (-int(pair.inliers.sum()), -len(pair.pairs)))
    wanted = sorted(range(len(ranked)), key=lambda row: not contradicts(ranked[row]))[:most]
    pairs = [ranked[row] for row in sorted(wanted)]
    verified = [row for row, pair in enumerate(pairs) if pair.inliers.any()]
    between = verified[GALLERY:-GALLERY]
    start = max(0, (len(between) - GALLERY) // 2)
    gallery = {
        "most inliers": verified[:GALLERY],
        "middling": between[start : start + GALLERY],
        "fewest inliers": verified[GALLERY:][-GALLERY:],
        "against the model": [row for row in verified if contradicts(pairs[row])][:GALLERY],
    }
    shown = {kind: rows for kind, rows in gallery.items() if rows}
    return Chosen(pairs, len(ranked) - len(pairs), shown)


def contradicts(pair: SeenPair) -> bool:
    """Whether most of what two photos say to each other is false by the model."""
    return pair.agreement is not None and pair.agreement < CONTRADICTS


def photo_rows(seen: SeenModel) -> list[Row]:
    """A row of numbers for each photo."""
    matches = {name: [0, 0] for name in seen.photos}
    for pair in seen.pairs:
        for name in (pair.name0, pair.name1):
            matches[name][0] += len(pair.pairs)
            matches[name][1] += int(pair.inliers.sum())
    return [
        {
            "name": photo.name,
            "registered": photo.cam_from_world is not None,
            "keypoints": len(photo.xy),
            "matches": matches[photo.name][0],
            "inliers": matches[photo.name][1],
            "points": int((photo.point >= 0).sum()),
            "residual_px": _mean(photo.residual_px),
            "focal_px": photo.focal_px,
            "uncertainty": seen.uncertainty.get(photo.name),
        }
        for photo in seen.photos.values()
    ]


def _mean(numbers: NDArray[np.float64]) -> float | None:
    finite = numbers[np.isfinite(numbers)]
    return float(finite.mean()) if len(finite) else None


def pair_rows(chosen: Chosen) -> list[Row]:
    """A row of numbers for each pair that can be opened."""
    return [
        {
            "name0": pair.name0,
            "name1": pair.name1,
            "matches": len(pair.pairs),
            "inliers": int(pair.inliers.sum()),
            "agreement": pair.agreement,
            "contradicts": contradicts(pair),
        }
        for pair in chosen.pairs
    ]


def model_data(seen: SeenModel, chosen: Chosen, picture: Callable[[str], str | None]) -> Row:
    """What the scripts of the page draw.

    picture: a photo by its name, as the URL of its data; None where there is none.
    """
    index = {name: row for row, name in enumerate(seen.photos)}
    limit = max(20, min(MATCHES_OF_PAIR, MATCHES // max(len(chosen.pairs), 1)))
    scene_from_world, scale = _upright(seen)
    order = np.argsort(-seen.track, kind="stable")[:POINTS]
    xyz = (seen.xyz[order] @ scene_from_world[:, :3].T + scene_from_world[:, 3]) * scale
    return {
        "points": {"xyz": array_text(xyz.astype(np.float32)), "rgb": array_text(seen.rgb[order])},
        "photos": [
            _photo_data(photo, picture(photo.name), scene_from_world, scale)
            for photo in seen.photos.values()
        ],
        "pairs": [
            {
                "a": index[pair.name0],
                "b": index[pair.name1],
                **_match_data(pair, seen.photos[pair.name0], seen.photos[pair.name1], limit),
            }
            for pair in chosen.pairs
        ],
    }


def _upright(seen: SeenModel) -> tuple[NDArray[np.float64], float]:
    """(3, 4) from the model's world to a scene that has y up and its points around the origin, and
    what its lengths are to be multiplied by, so that most points are within 1 of it.
    """
    poses = [p.cam_from_world for p in seen.photos.values() if p.cam_from_world is not None]
    down = sum((pose[1, :3] for pose in poses), np.zeros(3))
    up = -down / np.linalg.norm(down) if np.linalg.norm(down) > 1e-6 else np.array([0, -1.0, 0])
    back = -sum((pose[2, :3] for pose in poses), np.zeros(3))
    back = back - (back @ up) * up
    if np.linalg.norm(back) < 1e-6:
        back = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    back = back / np.linalg.norm(back)
    R = np.stack([np.cross(up, back), up, back])
    turned = seen.xyz @ R.T if len(seen.xyz) else np.zeros((1, 3))
    low, high = np.percentile(turned, INSIDE, axis=0)
    size = float(np.linalg.norm(high - low) / 2)
    return np.column_stack([R, -(low + high) / 2]), 1 / size if size > 0 else 1.0


def _photo_data(
    photo: SeenPhoto, picture: str | None, scene_from_world: NDArray[np.float64], scale: float
) -> Row:
    w, h = photo.size_wh
    rows = np.concatenate([np.flatnonzero(photo.point >= 0), np.flatnonzero(photo.point < 0)])
    rows = rows[:KEYPOINTS]
    steps = np.nan_to_num(photo.residual_px[rows] * RESIDUAL_STEPS, nan=MOST_RESIDUAL)
    state = np.where(photo.point[rows] >= 0, np.minimum(steps, MOST_RESIDUAL), NO_POINT)
    data: Row = {
        "name": photo.name,
        "w": w,
        "h": h,
        "src": picture,
        "xy": array_text(within(photo.xy[rows], photo.size_wh)),
        "state": array_text(state.astype(np.uint8)),
        "pose": None,
    }
    if photo.cam_from_world is not None and photo.focal_px is not None:
        R = scene_from_world[:, :3] @ photo.cam_from_world[:, :3].T  # scene from camera
        centre = -photo.cam_from_world[:, :3].T @ photo.cam_from_world[:, 3]
        centre = (scene_from_world[:, :3] @ centre + scene_from_world[:, 3]) * scale
        data["pose"] = {
            "R": [round(float(x), 6) for x in R.ravel()],
            "centre": [round(float(x), 6) for x in centre],
            "tan": [w / 2 / photo.focal_px, h / 2 / photo.focal_px],
        }
    return data


def _match_data(pair: SeenPair, photo0: SeenPhoto, photo1: SeenPhoto, limit: int) -> Row:
    picked = spread(len(pair.pairs), limit)
    rows = pair.pairs[picked]
    ends = [within(p.xy[rows[:, i]], p.size_wh) for i, p in enumerate((photo0, photo1))]
    agree = np.zeros(len(rows), bool) if pair.agree is None else pair.agree[picked]
    state = pair.inliers[picked] * INLIER + agree * AGREES
    return {
        "matches": len(pair.pairs),
        "inliers": int(pair.inliers.sum()),
        "agreement": None if pair.agreement is None else round(pair.agreement, 4),
        "xy": array_text(np.concatenate(ends, 1)),
        "state": array_text(state.astype(np.uint8)),
    }
