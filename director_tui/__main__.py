"""``python -m director_tui`` and the console script ``director-tui``."""

from __future__ import annotations

import sys

from director_tui.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
