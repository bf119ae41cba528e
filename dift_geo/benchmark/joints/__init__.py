"""Joints of people in videos, carried through them from the first frame's."""

from __future__ import annotations

from dift_geo.benchmark.joints.data import Clip, Clips, read_jhmdb
from dift_geo.benchmark.joints.methods import CarriedJoints
from dift_geo.benchmark.joints.score import joint_errors
from dift_geo.benchmark.joints.task import VideoJoints

__all__ = ["CarriedJoints", "Clip", "Clips", "VideoJoints", "joint_errors", "read_jhmdb"]
