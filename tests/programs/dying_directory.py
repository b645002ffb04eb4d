"""Project random commits into a directory, and die at a chosen change of the file system.

Arguments: directory, seed, number of commits, number of the change that is the last, and whether
the directory is atomic (1), with generations that become others at once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Final

from support.rule_log import LOG_ID, RuleLog, random_commits

from projections import DirectoryProjection
from projections.directory import _publisher

CHANGES: Final = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "open"}


class Death:
    """An audit hook that kills the process at its ``fatal``-th change."""

    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def __call__(self, event: str, _: tuple[object, ...]) -> None:
        """Count the event, if it is a change."""
        if event in CHANGES:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(root: str, seed: int, count: int, fatal: int, atomic: int = 0) -> None:
    log = RuleLog(random_commits(seed, count))
    dice = random.Random(fatal)
    live = DirectoryProjection(root, atomic=bool(atomic), grace_seconds=0.001)
    _publisher.SMALL_BYTES = 0  # type: ignore[misc]  # So that commits are journalled.
    sys.addaudithook(Death(fatal))
    live.open(LOG_ID)
    log.feed(live, [dice.randint(1, 4) for _ in range(8)])
    live.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
