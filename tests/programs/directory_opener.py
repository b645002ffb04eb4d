"""Open a projected directory, which may be owned by another process. Argument: the directory."""

from __future__ import annotations

import sys

from projections import DirectoryProjection

if __name__ == "__main__":
    DirectoryProjection(sys.argv[1]).open("x")
