"""Verification: silent about a log as it was written, and clear about one that was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import some
from support.plain import dialect
from support.tamper import rewrite, superuser

from eventstore import Cursor, EventStore, NewEvent, StreamWrite
from eventstore.integrity.findings import MAX_FINDINGS, Report

if TYPE_CHECKING:
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


async def fill(url: str) -> None:
    """Write three commits of seven events to two streams."""
    async with EventStore.open(url) as store:
        await store.append("a/1", some(2))
        writes = [StreamWrite("a/1", some(2)), StreamWrite("b/1", some(2))]
        await store.append_many(writes)
        await store.append("b/1", [NewEvent("Raw", b"\x00", metadata={"by": "ana"})])


async def verify(url: str, anchor: Cursor | None = None) -> Report:
    """Open and verify a log."""
    async with EventStore.open(url) as store:
        return await store.verify(anchor=anchor)


def tamper(url: str, *statements: str) -> None:
    """Execute statements as one for whom no trigger counts."""
    with superuser(url) as user:
        for statement in statements:
            user.run(statement)


@pytest.mark.from_one
async def test_an_empty_log_is_in_order(store: EventStore) -> None:
    report = await store.verify()
    assert (report.ok, report.position, report.events) == (True, 0, 0)


async def test_a_log_is_in_order_and_the_report_says_how_far(
    store: EventStore, clock: FakeClock, start: int
) -> None:
    before = (await store.verify()).events
    for number in range(5):
        clock.now_us -= 1_000_000  # times in the log stand still meanwhile
        await store.append_many([StreamWrite(f"a/{number}", some(3)), StreamWrite("b/1", some(2))])
    told: list[tuple[int, int]] = []
    report = await store.verify(progress=lambda done, total: told.append((done, total)))
    assert (report.findings, report.events) == ((), before + 25)
    assert report.cursor == (await store.head()).cursor
    assert told[-1] == (start + 25, start + 25)


@pytest.mark.promise("integrity")
async def test_a_log_that_grows_meanwhile_is_in_order(store: EventStore) -> None:
    async def write() -> None:
        for number in range(60):
            done = await store.append(f"a/{number % 3}", some(40))
            await store.redact(done.position, "at once")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in range(10):
            assert (await store.verify()).findings == ()


CHANGES = {
    "type": (3, "UPDATE event SET type = 'Other' WHERE position = 3"),
    "time": (3, "UPDATE event SET recorded_us = recorded_us + 1 WHERE position = 3"),
    "version": (3, "UPDATE event SET version = 77 WHERE position = 3"),
    "commit": (3, "UPDATE event SET commit_position = 3 WHERE position = 3"),
    "hash": (3, "UPDATE event SET hash = salt WHERE position = 3"),
    "digest": (3, "UPDATE event SET digest = hash WHERE position = 3"),
    "content": (3, "UPDATE event SET data = metadata WHERE position = 3"),
    "kind": (3, "UPDATE event SET content = 1 WHERE position = 3"),
    "erased": (3, "UPDATE event SET data = NULL, metadata = NULL, salt = NULL WHERE position = 3"),
    "missing": (3, "DELETE FROM event WHERE position = 3"),
    "last": (None, "DELETE FROM event WHERE position = 7"),
    "moved": (8, "UPDATE event SET position = 8 WHERE position = 7"),
    "below": (0, "UPDATE event SET position = 0 WHERE position = 1"),
    "head position": (None, "UPDATE head SET position = 8"),
    "head time": (None, "UPDATE head SET recorded_us = 1"),
    "head hash": (None, "UPDATE head SET hash = (SELECT hash FROM event WHERE position = 6)"),
    "stream version": (None, "UPDATE stream SET version = 9 WHERE name = 'a/1'"),
    "stream added": (None, "INSERT INTO stream (id, name, version) VALUES (9, 'c/1', 0)"),
    "schema version": (None, "UPDATE head SET schema_version = 1"),
}


@pytest.mark.promise("integrity")
@pytest.mark.parametrize("change", CHANGES)
async def test_one_change_is_one_finding_that_says_where(lasting_url: str, change: str) -> None:
    await fill(lasting_url)
    position, statement = CHANGES[change]
    tamper(lasting_url, statement)
    findings = (await verify(lasting_url)).findings
    if change == "moved":  # The gap, the event itself, and a head that ends too early.
        assert {finding.position for finding in findings} >= {7}
    elif change == "below":
        assert [finding.position for finding in findings] == [0, 1]
    else:
        assert [finding.position for finding in findings] == [position], findings


async def test_a_renamed_stream_is_found_in_each_of_its_events(lasting_url: str) -> None:
    await fill(lasting_url)
    tamper(lasting_url, "UPDATE stream SET name = 'c/1' WHERE name = 'b/1'")
    assert {f.position for f in (await verify(lasting_url)).findings} == {5, 6, 7}


async def test_cursors_of_another_history_are_found(lasting_url: str) -> None:
    await fill(lasting_url)
    async with EventStore.open(lasting_url) as store:
        async with store.subscribe_changes(consumer="w1") as changes:
            await anext(changes)
        assert (await store.verify()).ok
    tamper(lasting_url, "UPDATE consumer SET position = 2")
    (finding,) = (await verify(lasting_url)).findings
    assert finding.where == "consumer 'w1'"


@pytest.mark.promise("integrity")
async def test_a_changed_schema_is_found(lasting_url: str) -> None:
    await fill(lasting_url)
    on = "" if dialect(lasting_url) == "sqlite" else " ON event"
    with superuser(lasting_url) as user:
        user.run("ALTER TABLE consumer ADD COLUMN extra TEXT")
    assert len((await verify(lasting_url)).findings) == 1
    drop_trigger(lasting_url, f"DROP TRIGGER event_immutable{on}")
    wheres = [finding.where for finding in (await verify(lasting_url)).findings]
    assert "schema, trigger event_immutable on event" in wheres


def drop_trigger(url: str, statement: str) -> None:
    """Execute a statement on the schema, for good."""
    from support.plain import plain

    with plain(url) as connection:
        connection.execute(statement)


async def test_a_changed_ledger_is_found_when_the_log_is_open(lasting_url: str) -> None:
    await fill(lasting_url)
    async with EventStore.open(lasting_url) as store:
        tamper(lasting_url, "UPDATE migration SET checksum = 'x' WHERE number = 1")
        wheres = [finding.where for finding in (await store.verify()).findings]
        assert wheres == ["migration ledger"]


async def test_findings_are_bounded_and_the_rest_is_counted(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(MAX_FINDINGS + 500))
    tamper(lasting_url, "UPDATE event SET type = 'Other'")
    report = await verify(lasting_url)
    assert (len(report.findings), report.more) == (MAX_FINDINGS, 500)


@pytest.mark.promise("integrity")
async def test_a_rewritten_history_is_found_by_its_anchor_and_not_otherwise(
    lasting_url: str,
) -> None:
    await fill(lasting_url)
    before = (await verify(lasting_url)).cursor
    async with EventStore.open(lasting_url) as store:
        early = [event async for event in store.read(limit=2)][-1]
    rewrite(lasting_url, 3, b'"forged"')
    assert (await verify(lasting_url)).findings == ()
    (finding,) = (await verify(lasting_url, before)).findings
    assert (finding.position, finding.where) == (7, "anchor 7")
    # What lies before the forgery proves nothing about it.
    anchor = Cursor(before.log_id, 2, early.hash)
    assert (await verify(lasting_url, anchor)).findings == ()


async def test_an_anchor_beyond_the_end_or_of_another_log_is_a_finding(store: EventStore) -> None:
    before = (await store.head()).cursor
    await store.append("a/1", some(1))
    head = (await store.head()).cursor
    for anchor in (
        Cursor(head.log_id, head.position + 4, head.hash),
        Cursor("other", head.position, head.hash),
    ):
        (finding,) = (await store.verify(anchor=anchor)).findings
        assert finding.where == f"anchor {anchor.position}"
    for good in (head, before):
        assert (await store.verify(anchor=good)).ok


TRIM = (
    "UPDATE head SET first_position = 3, base_hash = (SELECT hash FROM event WHERE position = 2)",
    "DELETE FROM event WHERE position < 3",
)


async def test_a_log_without_its_beginning_is_checked_from_where_it_begins(
    lasting_url: str,
) -> None:
    await fill(lasting_url)
    anchor = (await verify(lasting_url)).cursor
    tamper(lasting_url, *TRIM)
    assert (await verify(lasting_url, anchor)).findings == ()
    early = Cursor(anchor.log_id, 1, anchor.hash)
    assert [f.where for f in (await verify(lasting_url, early)).findings] == ["anchor 1"]
    tamper(lasting_url, "UPDATE head SET base_hash = hash")
    assert [f.position for f in (await verify(lasting_url)).findings] == [3]


async def test_what_was_kept_of_a_beginning_is_checked_too(lasting_url: str) -> None:
    await fill(lasting_url)
    columns = (
        "position, stream_id, version, id, type, commit_position, content, data, metadata, "
        "recorded_us, salt, digest, hash"
    )
    tamper(
        lasting_url,
        f"INSERT INTO kept ({columns}, previous) SELECT {columns}, "
        "(SELECT hash FROM event WHERE position = 1) FROM event WHERE position = 2",
        *TRIM,
    )
    assert (await verify(lasting_url)).findings == ()
    tamper(lasting_url, "UPDATE kept SET type = 'Other'")
    assert [f.where for f in (await verify(lasting_url)).findings] == ["kept event 2"]


FORGERIES = {
    "a time that runs backwards": "UPDATE event SET recorded_us = 1 WHERE position = 4",
    "a commit cut short": "UPDATE event SET commit_position = 5 WHERE position = 5",
    "a commit that ends before": "UPDATE event SET commit_position = 2 WHERE position = 4",
    "a version left out": "UPDATE event SET version = 77 WHERE position = 4",
    "content that nobody redacted": (
        "UPDATE event SET data = NULL, metadata = NULL, salt = NULL WHERE position = 4"
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forger_who_computes_the_chain_must_keep_to_its_rules(
    lasting_url: str, forgery: str
) -> None:
    await fill(lasting_url)
    tamper(lasting_url, FORGERIES[forgery])
    rewrite(lasting_url, 3, b"3")
    assert (await verify(lasting_url)).findings != ()


async def test_content_that_came_back_after_its_redaction_is_found(lasting_url: str) -> None:
    await fill(lasting_url)
    with superuser(lasting_url) as user:
        (row,) = user.run("SELECT data, metadata, salt FROM event WHERE position = 3")
    async with EventStore.open(lasting_url) as store:
        await store.redact(3, "a request")
    with superuser(lasting_url) as user:
        change = "UPDATE event SET data = ?, metadata = ?, salt = ? WHERE position = 3"
        user.run(change, *row)
    (finding,) = (await verify(lasting_url)).findings
    assert (finding.position, "was redacted" in finding.what) == (3, True)
