"""`python -m tests.faults`: inject every fault by itself, and write what was measured to docs/faults.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.faults.table import HERE, ROWS_FILE, page, read_page, read_rows, sections

PAGE: Final = HERE.parents[1] / "docs" / "faults.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("-k", dest="only", default="", help="only the tests that match; the other rows stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        file = Path(folder) / "rows"
        os.environ[ROWS_FILE] = str(file)
        # Two programs at a time, each with a ring of its own: they mostly wait, and don't take each other's time.
        status = pytest.main(["-v", "-n", "2", *(["-k", options.only] if options.only else []), str(HERE)])
        measured = read_rows(file.read_text().splitlines()) if file.exists() else {}
    # Where a test has failed, the row of the time before stays, and the exit status says so.
    rows = (read_page(PAGE.read_text()) if PAGE.exists() else {}) | measured
    missing = {fault.title for faults in sections().values() for fault in faults} - rows.keys()
    if missing:
        print(f"{PAGE.name} stays as it is; never measured: {'; '.join(sorted(missing))}", file=sys.stderr)
        return int(status) or 1
    PAGE.write_text(page(rows))
    print(f"{len(measured)} of {len(rows)} rows of {PAGE.name} are new")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
