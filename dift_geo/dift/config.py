"""`dift_geo.dift.config` for files that still import it; see `dift_geo.backends.config`."""

from dift_geo.backends.config import DiftConfig, Mode
from dift_geo.backends.config import ReadingName as Reading

__all__ = ["DiftConfig", "Mode", "Reading"]
