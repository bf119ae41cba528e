"""Videos: frames and masks on disk, and labels carried through them."""

from __future__ import annotations

from dift_geo.video.carry import carried_masks
from dift_geo.video.frames import Frames, open_frames
from dift_geo.video.joints import carried_joints
from dift_geo.video.masks import read_mask, write_mask
from dift_geo.video.options import PropagationOptions
from dift_geo.video.track import Tracker, mask_of, one_hot, shown_size

__all__ = [
    "Frames",
    "PropagationOptions",
    "Tracker",
    "carried_joints",
    "carried_masks",
    "mask_of",
    "one_hot",
    "open_frames",
    "read_mask",
    "shown_size",
    "write_mask",
]
