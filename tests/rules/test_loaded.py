"""What workers report: one set however it is computed, told again and again, never in their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import fill, ttp
from support.waiting import eventually

from eventstore import EventStore, StorageError, StoreClosedError
from projections import DirectoryProjection, ProjectionRunner
from projections.cli.tail_reports import TailReporter
from projections.rules import LoadedReporter, RuleReplica, RuleState, RuleStore
from projections.rules.fleet import read_fleet
from projections.rules.holds import hold_rules, release_rules
from projections.rules.reporter import Heartbeat
from projections.rules.seen_rules import IntendedReader, read_intended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.master import Sync

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

DISABLED = RuleState("disabled", reason="noisy")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EventStore]:
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db") as store:
        yield store


async def told(store: EventStore, name: str) -> tuple[str, int]:
    """Return the hash that a worker has told, and how many rules it has."""
    (worker,) = [one for one in (await read_fleet(store)).workers if one.name == name]
    assert worker.report is not None
    return worker.report.hash, worker.report.rules


async def test_all_who_compute_a_set_from_a_log_compute_the_same(
    store: EventStore, root: Path, tmp_path: Path, sync: Sync
) -> None:
    rules, early = RuleStore(store), TailReporter(store, "tail", 0)
    live = ProjectionRunner(store, DirectoryProjection(tmp_path / "live", fsync=False))
    position = 0

    async def check(number: int) -> None:
        nonlocal position
        intended = await read_intended(store)
        expected = intended.hash, number
        assert len(intended.rules) == number
        assert (await IntendedReader().read(store)) == intended
        await rules.report_loaded(await rules.load_compiled(), worker="engine")
        assert await told(store, "engine") == expected
        async for event in store.read(after=position):
            early.saw(event)
            position = event.position
        late = TailReporter(store, "late", position)
        for reporter in (early, late):
            await reporter._tell()
        assert await told(store, "tail") == await told(store, "late") == expected
        await live.catch_up()
        replica = RuleReplica(tmp_path / "live", report_to=store.url)
        told_by_replica = await replica.report_loaded(await replica.load_compiled())
        assert (told_by_replica.hash, told_by_replica.differs) == (intended.hash, ())

    await check(0)
    fill(root, {"1.yml": ttp("R1"), "2.yml": ttp("R2"), "3.yml": ttp("R3")})
    await sync()
    await check(3)
    await rules.set_state("R1", DISABLED, set_by="ana")
    await rules.set_state("R2", RuleState("clipped", 0.3), set_by="ana")
    await check(3)
    before = (await store.head()).position
    fill(root, {"1.yml": ttp("R1", "second")})
    (root / "3.yml").unlink()
    await sync()
    await check(2)
    await hold_rules(store, before, by="ana")
    await rules.set_state("R2", RuleState(), set_by="ana")
    await check(3)
    await release_rules(store, by="ana")
    await check(2)
    (last,) = [e async for e in store.read_stream("rule/R1") if e.version == 2]
    await store.redact(last.position, "personal")
    await check(1)


async def test_an_engine_that_takes_no_changes_in_any_more_reports_it(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"1.yml": ttp("R1")})
    await sync()
    rules = RuleStore(store)
    loaded = await rules.load_compiled()
    fill(root, {"1.yml": ttp("R1", "second"), "2.yml": ttp("R2")})
    await sync()
    report = await rules.report_loaded(loaded, worker="w")
    assert report.differs == (("R1", "content"), ("R2", "missing"))
    assert report.position == (await store.head()).position


async def test_a_reporter_tells_after_each_change_and_as_a_heartbeat(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"1.yml": ttp("R1")})
    await sync()
    rules = RuleStore(store)
    loaded = {rule.rule_id: rule for rule in await rules.load_compiled()}
    reporter = LoadedReporter(rules, loaded.values, engine="mine", worker="w", seconds=3600)

    async def has(number: int) -> bool:
        found = (await read_fleet(store)).workers
        return [one.report.rules for one in found if one.report] == [number]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reporter.run)
        await eventually(lambda: has(1))
        loaded.clear()
        reporter.changed()
        await eventually(lambda: has(0))
        tasks.cancel_scope.cancel()


async def test_trouble_with_the_log_ends_no_reporter_but_its_closing_does() -> None:
    tries: list[int] = []

    async def tell() -> None:
        tries.append(len(tries))
        if len(tries) == 3:
            raise StoreClosedError("closed")
        raise StorageError("here", "gone")

    with anyio.fail_after(60):
        await Heartbeat(tell, 0.01).run()
    assert len(tries) == 3
