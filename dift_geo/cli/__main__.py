"""`python -m dift_geo.cli`."""

from __future__ import annotations

import sys

from dift_geo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
