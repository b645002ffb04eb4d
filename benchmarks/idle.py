"""What waiting costs."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from typing import Final

import anyio

from benchmarks.measure import Row, Setting
from benchmarks.processes import QUIET_SECONDS, Child, write_rules
from benchmarks.uma import uma_db

RULES: Final = 100
WINDOW_SECONDS: Final = 10.0


async def idle(setting: Setting) -> list[Row]:
    """Let a master, a follower and a bare watcher wait: % of one core, all threads.

    The master watches 100 rule files, the follower its log, the floor is plain watchfiles
    on such a directory at the same step. Three windows of 10 s, the same for all three.
    """
    folder = setting.folder
    url = f"sqlite:///{folder / 'log.db'}"
    for name in ("rules", "floor"):
        write_rules(folder / name, range(RULES))
    used: dict[str, list[float]] = {}
    window = WINDOW_SECONDS / 2 if setting.quick else WINDOW_SECONDS
    with ExitStack() as stack:
        children = {
            "ours, master of 100 files": Child("master", url, folder / "rules"),
            "ours, follower": Child("follower", url),
            "floor: watchfiles": Child("watcher", folder / "floor"),
        }
        if uma := stack.enter_context(uma_db(folder)):
            children["UmaDB, follower"] = Child("uma_follower", uma.url)
        for child in children.values():
            stack.enter_context(child)
        await anyio.sleep(2 * QUIET_SECONDS)
        for _ in range(3):
            began = time.monotonic()
            before = {name: child.cpu_seconds() for name, child in children.items()}
            await anyio.sleep(window)
            for name, child in children.items():
                share = (child.cpu_seconds() - before[name]) / (time.monotonic() - began)
                used.setdefault(name, []).append(100 * share)
    ours = statistics.median(next(iter(used.values())))
    return [
        Row("waiting", name, "% of a core", median := statistics.median(values), max(values),
            ratio=ours / median)
        for name, values in used.items()
    ]  # fmt: skip
