"""`python -m tests.faults`: inject every fault, one after the other, and write what was measured to docs/faults.md."""

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
        # One after the other, so that nothing of ours takes the time that is measured.
        status = pytest.main(["-v", *(["-k", options.only] if options.only else []), str(HERE)])
        measured = read_rows(file.read_text().splitlines()) if file.exists() else {}
    rows = (read_page(PAGE.read_text()) if options.only and PAGE.exists() else {}) | measured
    missing = {fault.title for faults in sections().values() for fault in faults} - rows.keys()
    if status != pytest.ExitCode.OK or missing:
        print(f"{PAGE.name} stays as it is; not measured: {'; '.join(sorted(missing)) or 'nothing'}", file=sys.stderr)
        return int(status) or 1
    PAGE.write_text(page(rows))
    print(f"{len(measured)} of {len(rows)} rows of {PAGE.name} are new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
