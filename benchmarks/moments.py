"""Time travel on a long history of rules: ``python -m benchmarks.moments DIR [--events N]``.

Makes the history of :mod:`benchmarks.rule_history` in DIR, of ten million events by default, unless
it is there, and measures what stands at random positions. The first position is also compared with
a fold of all events, which takes minutes; ``--unverified`` leaves that out.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from benchmarks.rule_history import make_history
from eventstore import EventStore
from eventstore.moments.errors import UnknownMomentError
from eventstore.moments.resolve import resolve_moment
from projections.rules.blame import blame_rule
from projections.rules.differences import compare_rules
from projections.rules.rules_at import fold_rules, read_changes, read_rules_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SAMPLES: Final = 20
EVENTS: Final = 10_000_000


async def _measure(name: str, works: list[Callable[[], Awaitable[object]]]) -> None:
    """Print the median and the worst time of works, wall time and CPU, in milliseconds."""
    wall, cpu = [], []
    for work in works:
        began, used = time.perf_counter(), time.process_time()
        await work()
        wall.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - used) * 1000)
    shown = f"median {statistics.median(wall):7.1f} ms, worst {max(wall):7.1f} ms"
    print(f"{name:<28} {shown}, CPU median {statistics.median(cpu):7.1f} ms")


async def _find_none(store: EventStore, commit: str) -> None:
    """Look for a commit of git that was never synced."""
    with suppress(UnknownMomentError):
        await resolve_moment(store, f"git:{commit}")


async def _run(path: Path, events: int, *, verified: bool) -> None:
    url = f"sqlite:///{path}"
    make_history(url, events)
    chance = random.Random(20)
    async with EventStore.open(url, notify="none") as store:
        places = [chance.randrange(1, events) for _ in range(SAMPLES)]
        moments = [(await resolve_moment(store, place)).position for place in places]
        await _measure("rules at a position", [
            partial(read_rules_at, store, at) for at in moments
        ])  # fmt: skip

        async def differ(one: int, other: int) -> None:
            compare_rules(*await read_changes(store, one, other))

        pairs = list(pairwise(moments))
        await _measure("diff of two positions", [partial(differ, *pair) for pair in pairs])
        await _measure("time to position", [
            partial(resolve_moment, store, f"now-{back}d") for back in range(1, SAMPLES)
        ])  # fmt: skip
        await _measure("commit of git", [
            partial(_find_none, store, f"{number:040x}") for number in range(1, 4)
        ])  # fmt: skip
        await _measure("blame of a rule", [
            partial(blame_rule, store, f"R{number:05d}", events)
            for number in range(0, 100, 10)
        ])  # fmt: skip
        if verified:
            at = moments[0]
            found, folded = await read_rules_at(store, at), await fold_rules(store, at)
            assert found.versions == folded.versions, at
            print(f"at {at}: equal to the fold of all events")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--unverified", action="store_true")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    path = given.directory.absolute() / f"rules-{given.events}.db"
    anyio.run(lambda: _run(path, given.events, verified=not given.unverified))


if __name__ == "__main__":
    main()
