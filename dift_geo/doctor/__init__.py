"""What `dift-geo doctor` says: where it runs, and what it thinks of a run's files."""

from __future__ import annotations

from dift_geo.doctor.examine import Examination, examine
from dift_geo.doctor.finding import Finding

__all__ = ["Examination", "Finding", "examine"]
