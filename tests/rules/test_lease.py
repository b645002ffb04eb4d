"""One owner per source: the second master stands by, and takes over when the first ends."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import command, environment
from support.logs import LOG_URLS
from support.master import fill, logged, standing, stands, ttp
from support.postgres import private_server
from support.processes import child, wait_for
from support.waiting import DEADLINE, eventually

from eventstore import EventStore, StoreClosedError
from projections.rules import RuleSync
from projections.rules.sources import lease as ownership
from projections.rules.sources.lease import SourceLock, source_owners

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "rules", {"a.yml": ttp("A")})


@pytest.fixture(params=list(LOG_URLS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log of each kind."""
    return LOG_URLS[request.param](tmp_path)


async def is_standing_by(master: RuleSync) -> None:
    async def so() -> bool:
        return bool(master.owner)

    await eventually(so)


async def has_reported(reports: list[str], master: str) -> None:
    """Wait until the last report is by ``master``; it comes after what it tells was appended."""

    async def so() -> bool:
        return reports[-1:] == [master]

    await eventually(so)


@pytest.mark.promise("owner")
async def test_the_second_follows_nothing_until_the_first_ends(url: str, root: Path) -> None:
    reports: list[str] = []
    async with EventStore.open(url) as store, anyio.create_task_group() as tasks:
        first, second = (RuleSync(store, root, source="main") for _ in range(2))
        ending = anyio.CancelScope()

        async def run_first() -> None:
            with ending:
                await first.run(lambda _: reports.append("first"))

        tasks.start_soon(run_first)
        await stands(store, "A", ttp("A"))
        tasks.start_soon(second.run, lambda _: reports.append("second"))
        await is_standing_by(second)
        fill(root, {"a.yml": ttp("A", "edited")})
        await stands(store, "A", ttp("A", "edited"))
        assert set(reports) == {"first"}
        ending.cancel()
        fill(root, {"b.yml": ttp("B")})
        await has_reported(reports, "second")
        assert (await standing(store))["B"][1] == ttp("B")
        tasks.cancel_scope.cancel()


@pytest.mark.promise("owner")
async def test_a_killed_owner_is_followed_by_the_one_that_stood_by(
    lasting_url: str, root: Path
) -> None:
    url = lasting_url
    async with EventStore.open(url) as store:
        with child("rules_master", url, root, "main") as owner:
            await anyio.to_thread.run_sync(wait_for, owner, "synced")
            with child("rules_master", url, root, "main") as standby:
                await anyio.to_thread.run_sync(wait_for, standby, f"owner {owner.pid}")
                os.kill(owner.pid, signal.SIGKILL)
                fill(root, {"a.yml": ttp("A", "while nobody looked")})
                await anyio.to_thread.run_sync(wait_for, standby, "synced")
        assert (await standing(store))["A"][1] == ttp("A", "while nobody looked")


@pytest.mark.promise("owner")
async def test_no_edit_is_appended_twice_by_two_processes(lasting_url: str, root: Path) -> None:
    url = lasting_url
    async with EventStore.open(url) as store:
        with child("rules_master", url, root, "main"), child("rules_master", url, root, "main"):
            for number in range(5):
                fill(root, {f"{n}.yml": ttp(f"R{n}", f"edit {number}") for n in range(5)})
                for n in range(5):
                    await stands(store, f"R{n}", ttp(f"R{n}", f"edit {number}"))
        events = await logged(store, "RuleDefined")
    told = Counter((event.stream, event.data["content"]) for event in events)
    assert set(told.values()) == {1}


async def test_sources_of_other_names_have_owners_of_their_own(url: str, tmp_path: Path) -> None:
    async with EventStore.open(url) as store:
        async with anyio.create_task_group() as tasks:
            for name in ("one", "two"):
                folder = fill(tmp_path / name, {f"{name}.yml": ttp(name)})
                tasks.start_soon(RuleSync(store, folder, source=name).run)
            for name in ("one", "two"):
                await stands(store, name, ttp(name))
            owners = sorted(await source_owners(store))
            assert owners == [("one", store.owner, "", 0), ("two", store.owner, "", 0)]
            tasks.cancel_scope.cancel()
        await nobody_follows(store)


async def nobody_follows(store: EventStore) -> None:
    async def so() -> bool:
        return not await source_owners(store)

    await eventually(so)


@pytest.mark.promise("owner")
async def test_one_look_needs_no_ownership_and_repeats_nothing(url: str, root: Path) -> None:
    async with EventStore.open(url) as store, anyio.create_task_group() as tasks:
        tasks.start_soon(RuleSync(store, root, source="main").run)
        await stands(store, "A", ttp("A"))
        fill(root, {"b.yml": ttp("B")})
        await RuleSync(store, root, source="main").sync_once()
        assert set(await standing(store)) == {"A", "B"}
        await stands(store, "B", ttp("B"))
        assert len(await logged(store, "RuleDefined")) == 2
        tasks.cancel_scope.cancel()


async def test_a_closed_store_ends_the_wait(lasting_url: str, root: Path) -> None:
    url = lasting_url
    ended = anyio.Event()

    async def run(master: RuleSync) -> None:
        with pytest.raises(StoreClosedError):
            await master.run()
        ended.set()

    async with EventStore.open(url) as other, anyio.create_task_group() as tasks:
        lock = SourceLock(other, "main")
        assert lock.try_acquire()
        async with EventStore.open(url) as store:
            master = RuleSync(store, root, source="main")
            tasks.start_soon(run, master)
            await is_standing_by(master)
        with anyio.fail_after(DEADLINE):
            await ended.wait()
        lock.release()


def test_a_forked_child_does_not_keep_its_parents_source(lasting_url: str) -> None:
    store = EventStore.open(lasting_url)
    lock = SourceLock(store, "main")
    assert lock.try_acquire()
    ready, until = os.pipe(), os.pipe()
    child_id = os.fork()
    if child_id == 0:
        os.close(until[1])
        os.write(ready[1], b"!")
        os.read(until[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lock.release()
    again = SourceLock(store, "main")
    assert again.try_acquire()
    again.release()
    for end in (*ready, *until):
        os.close(end)
    os.waitpid(child_id, 0)


async def test_the_child_of_a_killed_owner_does_not_keep_its_source(lasting_url: str) -> None:
    lock = SourceLock(EventStore.open(lasting_url), "main")

    async def taken() -> bool:
        return await anyio.to_thread.run_sync(lock.try_acquire)

    with child("forking_source_owner", lasting_url) as owner:
        await anyio.to_thread.run_sync(wait_for, owner, "forked")
        assert not await taken()
        os.kill(owner.pid, signal.SIGKILL)
        await eventually(taken)
    lock.release()


async def test_status_shows_what_keeps_the_owner_from_following(
    lasting_url: str, tmp_path: Path, root: Path
) -> None:
    url = lasting_url
    with child("rules_master", url, root, "main") as owner:
        await anyio.to_thread.run_sync(wait_for, owner, "synced")
        await anyio.Path(root).rename(tmp_path / "away")
        async with EventStore.open(url) as store:

            async def told() -> bool:
                (source,) = await source_owners(store)
                return "is not there" in source.trouble

            await eventually(told)
            await anyio.Path(tmp_path / "away").rename(root)

            async def well_again() -> bool:
                return [source.trouble for source in await source_owners(store)] == [""]

            await eventually(well_again)


@pytest.mark.slow
async def test_status_shows_who_follows(lasting_url: str, root: Path) -> None:
    url = lasting_url
    with child("rules_master", url, root, "main") as owner:
        await anyio.to_thread.run_sync(wait_for, owner, "synced")
        done = await anyio.run_process(command("status", "--url", url, "--json"), env=environment())
    (source,) = json.loads(done.stdout)["sources"]
    assert source["name"] == "main"
    assert source["owner"].endswith(f":{owner.pid}")


def end_owner(url: str) -> str:
    """Return SQL that ends the session which holds the lock of a source."""
    schema = url.rpartition("%3D")[2]
    return (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND "
        "objsubid = 1 AND (classid::bigint << 32) | objid::bigint = "
        f"(SELECT lock_key FROM {schema}.named_lock)"
    )


@pytest.mark.slow
@pytest.mark.promise("owner")
async def test_an_owner_whose_connection_was_lost_stands_by(
    postgres: Server, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.fresh_schema()
    reports: list[str] = []
    async with (
        EventStore.open(url) as one,
        EventStore.open(url) as two,
        anyio.create_task_group() as tasks,
    ):
        two.owner = "elsewhere:1"
        first, second = (RuleSync(store, root, source="main") for store in (one, two))
        tasks.start_soon(first.run, lambda _: reports.append("first"))
        await stands(one, "A", ttp("A"))
        tasks.start_soon(second.run, lambda _: reports.append("second"))
        await is_standing_by(second)
        assert second.owner == one.owner
        assert await anyio.to_thread.run_sync(postgres.execute, end_owner(url)) == [(True,)]

        async def taken_over() -> bool:
            owners = [owner.owner for owner in await source_owners(one)]
            return [*owners, first.owner] == ["elsewhere:1"] * 2

        await eventually(taken_over)
        fill(root, {"b.yml": ttp("B")})
        await has_reported(reports, "second")
        assert (await standing(one))["B"][1] == ttp("B")
        tasks.cancel_scope.cancel()
    assert reports == ["first", "second"]
    assert "may have another owner now" in caplog.text


@pytest.mark.promise("owner")
async def test_an_owner_that_lost_its_session_appends_nothing_more(
    postgres: Server, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.fresh_schema()
    # So long that only the question before an append can find out.
    monkeypatch.setattr(ownership, "HEARTBEAT_SECONDS", 3600.0)
    async with EventStore.open(url) as store, anyio.create_task_group() as tasks:
        tasks.start_soon(RuleSync(store, root, source="main", rescan_seconds=0.05).run)
        await stands(store, "A", ttp("A"))
        assert await anyio.to_thread.run_sync(postgres.execute, end_owner(url)) == [(True,)]
        fill(root, {"a.yml": ttp("A", "edited")})

        async def noticed() -> bool:
            return "is not held" in caplog.text

        await eventually(noticed)
        assert (await standing(store))["A"][1] == ttp("A")
        tasks.cancel_scope.cancel()


@pytest.mark.slow
async def test_an_owner_follows_again_after_the_server_was_away(root: Path) -> None:
    with private_server() as server:
        async with EventStore.open(server.url()) as store, anyio.create_task_group() as tasks:
            tasks.start_soon(RuleSync(store, root, source="main").run)
            await stands(store, "A", ttp("A"))
            await anyio.to_thread.run_sync(server.restart)
            fill(root, {"b.yml": ttp("B")})
            await stands(store, "B", ttp("B"))

            async def owned() -> bool:
                return [owner.name for owner in await source_owners(store)] == ["main"]

            await eventually(owned)
            tasks.cancel_scope.cancel()


async def test_two_logs_in_one_database_have_sources_of_their_own(postgres: Server) -> None:
    locks = [SourceLock(EventStore.open(postgres.fresh_schema()), "main") for _ in range(2)]
    assert [lock.try_acquire() for lock in locks] == [True, True]
    for lock in locks:
        lock.release()
