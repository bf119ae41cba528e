"""`dift_geo.benchmark_download` of 0.1, for scripts that import it."""

from dift_geo.benchmark.homography.download import (
    HPATCHES_SEQUENCES,
    HPATCHES_URL,
    download_hpatches,
    missing_files,
)

__all__ = ["HPATCHES_SEQUENCES", "HPATCHES_URL", "download_hpatches", "missing_files"]
