"""Run a command of the command line that sends itself a signal after so many function calls.

Arguments: the number of calls, the signal's number, and the command's words. With 0 calls it runs
to its end and writes how many calls it made, in all threads, to the file ``calls``.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from eventstore.cli import main

LIMIT, SIGNAL = int(sys.argv[1]), int(sys.argv[2])

calls = 0


def count(_frame: object, _event: str, _argument: object) -> None:
    global calls  # noqa: PLW0603 - a profile function has no other place to count
    calls += 1
    if calls == LIMIT:
        os.kill(os.getpid(), SIGNAL)


sys.argv = ["eventstore", *sys.argv[3:]]
threading.setprofile(count)
sys.setprofile(count)
try:
    main()
finally:
    sys.setprofile(None)
    if not LIMIT:
        Path("calls").write_text(str(calls))
