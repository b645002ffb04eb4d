"""Watch a directory where the system allows few watches; say what is wrong with the watch.

Arguments: directory, and a mode: "still"; "alone" without what is below it; "grow" where the
directory is to outgrow the limit meanwhile.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

from eventstore.system import directory_watch


def main(root: Path, mode: str) -> None:
    logging.basicConfig(format="%(message)s")
    directory_watch.RETRY_SECONDS = 0.05  # type: ignore[misc]
    woken = threading.Semaphore(0)
    watcher = directory_watch.Watcher(root, woken.release, recursive=mode != "alone")
    watcher.start()
    woken.acquire(timeout=60)
    if mode == "grow":
        assert not watcher.trouble, watcher.trouble
        (root / "new").mkdir()
    for _ in range(5):
        assert woken.acquire(timeout=60)
    print(watcher.trouble)
    watcher.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
