"""The definitions of semantic correspondence: whose threshold, which prompt, what was published.

A percentage of correct keypoints has three aggregates in circulation, which differ by several
points on the same answers; each number is named by its own. Knows no data and no features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ALPHAS", "PROTOCOLS", "Over", "Protocol"]

ALPHAS = (0.01, 0.05, 0.1, 0.15)
Over = Literal["box", "keypoints", "image"]


@dataclass(frozen=True)
class Protocol:
    """What decides the numbers beside the data.

    name: as the user asks for it.
    source: what it is and where it comes from, in a sentence without a full stop.
    over: what a threshold is a share of: the longer side of the target's `box`, of the box around
        its `keypoints`, or of its `image`.
    prompt: what models that take text are told, with {} for the object.
    quoted: published numbers of others: name -> number -> value.
    quoted_from: where they were read.
    """

    name: str
    source: str
    over: Over
    prompt: str = "a photo of a {}"
    quoted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quoted_from: str = ""


def _row(image: float | None, point: float | None, category: float | None) -> dict[str, float]:
    found = {"image": image, "point": point, "category": category}
    return {f"pck@0.1/{name}": own / 100 for name, own in found.items() if own is not None}


def _same(at05: float, at10: float, at15: float) -> dict[str, float]:
    """Of PF-WILLOW, where every aggregate is the same."""
    found = {}
    for alpha, own in ((0.05, at05), (0.1, at10), (0.15, at15)):
        for aggregate in ("image", "point", "category"):
            found[f"pck@{alpha:g}/{aggregate}"] = own / 100
    return found


SPAIR = Protocol(
    name="spair71k",
    source="SPair-71k (Min et al. 2019), test pairs: keypoints within a share of the longer side "
    "of the target's box, as DIFT's eval_spair.py",
    over="box",
    quoted={
        "DIFT_sd (SD 2.1, t 261, block 1, 8 draws)": {
            **_row(52.9, 59.5, 57.7),
            "pck@0.01/image": 0.072,
            "pck@0.05/image": 0.397,
        },
        "DIFT_sd, its script run by a third party": _row(52.84, 59.41, 57.55),
        "DINO ViT-B/8, in the DIFT paper": _row(33.9, None, None),
        "OpenCLIP ViT-H/14, in the DIFT paper": _row(38.4, None, None),
        "DINOv2 ViT-B/14 tokens": {
            **_row(53.9, 55.6, None),
            "pck@0.01/image": 0.063,
            "pck@0.05/image": 0.384,
        },
        "SD 1.5 + DINOv2 (sd-dino)": {
            **_row(59.9, 64.0, None),
            "pck@0.01/image": 0.079,
            "pck@0.05/image": 0.447,
        },
        "CleanDIFT in DIFT's script": _row(None, 61.43, None),
    },
    quoted_from="the papers of DIFT, sd-dino, GeoAware-SC and CleanDIFT and public logs; what they "
    "call per point may be the mean of categories, and stands there where its sum says so",
)
WILLOW = Protocol(
    name="pf-willow",
    source="PF-WILLOW (Ham et al. 2016), 900 pairs: keypoints within a share of the longer side of "
    "the box around the target's keypoints, as no box is annotated",
    over="keypoints",
    quoted={
        "DIFT_sd, run for MATCHA": _same(55.7, 85.1, 92.9),
        "MATCHA": _same(70.2, 91.3, 97.0),
    },
    quoted_from="notes on MATCHA (CVPR 2025)",
)
CUB = Protocol(
    name="cub",
    source="CUB-200-2011 (Wah et al. 2011), every ordered pair of the images of a split: parts "
    "visible in both within a share of the longer side of the target's box; a split is a category",
    over="box",
)
PROTOCOLS = {protocol.name: protocol for protocol in (WILLOW, SPAIR, CUB)}
