"""Say what this process was started with and how its input begins, then end with a status.

Arguments: the status, and anything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from programs.common import say

if __name__ == "__main__":
    say(*sys.argv[1:])
    say(Path.cwd())
    say(os.environ.get("MIRROR"))
    say(sys.stdin.readline().rstrip("\n"))
    print("to standard error", file=sys.stderr)
    sys.exit(int(sys.argv[1]))
