"""What status and verify say of projections: their versions, their lag, where one has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from support.totals import DoubledTotals, Totals, append_numbers, read_totals, reader_of
from support.waiting import eventually, take

from eventstore import EventStore, NewEvent, ProjectionError, StorageError
from eventstore.errors import HistoryHeldError, ProjectionVersionError, ViewNotKeptError
from projections import ProjectionRunner
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from eventstore import Event

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


def execute(url: str, statement: str) -> None:
    """Run a statement as another program would."""
    engine = reader_of(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


async def view_of(store: EventStore) -> dict[str, Any]:
    """Return what status says of the only projection."""
    (view,) = (await store.status())["views"]
    return dict(view)


@pytest.mark.promise("projection")
async def test_an_older_process_appends_without_the_view_and_says_so_once(
    log: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with EventStore.open(log, inline=[Totals()]) as old:
        await append_numbers(old, 5)
        async with EventStore.open(log, inline=[DoubledTotals()]) as new:
            before = read_totals(log)
            for _ in range(3):
                await old.append("n/1", [NewEvent("Counted", 100)])
            assert read_totals(log) == before
            view = await view_of(old)
            assert (view["version"], view["lag"], view["newer_than_here"]) == (2, 3, True)
            assert not (await view_of(new))["newer_than_here"]
            await new.append("n/1", [NewEvent("Counted", 100)])
            assert read_totals(log)["n/1"] == before["n/1"] + 800
            assert (await view_of(new))["lag"] == 0
    assert caplog.text.count("this process appends without it") == 1


@pytest.mark.promise("projection")
async def test_an_older_process_may_refuse_to_append_without_the_view(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()], on_newer_view="refuse") as old:
        await append_numbers(old, 5)
        async with EventStore.open(log, inline=[DoubledTotals()]):
            pass
        with pytest.raises(ProjectionVersionError) as caught:
            await old.append("n/1", [NewEvent("Counted", 1)])
        assert (caught.value.projection, caught.value.mine, caught.value.stored) == ("totals", 1, 2)
        assert (await old.head()).position == 5
    with pytest.raises(ProjectionVersionError):
        async with EventStore.open(log, inline=[Totals()], on_newer_view="refuse"):
            pass


class OnlyCounted(Totals):
    """Passes over the log's own events."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number as often as the version says."""
        if event.type == "Counted":
            for _ in range(self.version):
                super().handle(connection, event)


class NewerOnlyCounted(OnlyCounted):
    """Its next version."""

    version = 2


@pytest.mark.promise("projection")
async def test_an_older_process_trims_no_event_that_the_newer_view_lacks(
    log: str, tmp_path: Path
) -> None:
    async with EventStore.open(log, inline=[OnlyCounted()]) as old:
        await append_numbers(old, 5)
        async with EventStore.open(log, inline=[NewerOnlyCounted()]):
            pass
        for _ in range(3):
            await old.append("n/1", [NewEvent("Counted", 1)])
        with pytest.raises(HistoryHeldError, match="projection 'totals' is at position 5") as held:
            await old.trim(before=8, archive=tmp_path / "old", reason="age", by="tests")
        assert (held.value.consumer, held.value.position) == ("totals", 5)
        assert (await old.head()).first_position == 1
        await old.trim(before=6, archive=tmp_path / "some", forgo_rebuild=["totals"])
        expected = read_totals(log)
        async with EventStore.open(log, inline=[NewerOnlyCounted()]) as new:
            assert read_totals(log) == expected | {"n/1": expected["n/1"] + 6}
            await new.trim(before=8, archive=tmp_path / "more", forgo_rebuild=["totals"])


async def keep_inline(log: str) -> None:
    async with EventStore.open(log, inline=[OnlyCounted()]):
        pass


async def keep_followed(log: str) -> None:
    async with EventStore.open(log) as store:
        await ProjectionRunner(store, OnlyCounted().at(log)).catch_up()


@pytest.mark.promise("projection")
@pytest.mark.parametrize("keep", [keep_inline, keep_followed])
async def test_a_program_without_the_view_trims_no_event_that_it_lacks(
    log: str, tmp_path: Path, keep: Callable[[str], Awaitable[None]]
) -> None:
    async with EventStore.open(log) as store:
        first = await append_numbers(store, 5)
        await keep(log)
        for _ in range(3):
            await store.append("n/1", [NewEvent("Counted", 1)])
        for dry_run in (True, False):
            with pytest.raises(HistoryHeldError, match="projection 'totals' is at position 5"):
                await store.trim(before=8, archive=tmp_path / "a", dry_run=dry_run)
        assert not (tmp_path / "a").exists()
        with pytest.raises(ViewNotKeptError, match="view 'totals' could not be") as refused:
            await store.trim(before=6, archive=tmp_path / "a")
        assert refused.value.view == "totals"
        assert not (tmp_path / "a").exists()
        await store.trim(before=6, archive=tmp_path / "a", forgo_rebuild=["totals"])
        await keep(log)
        assert read_totals(log) == first | {"n/1": first["n/1"] + 3}
        done = await store.trim(before=9, archive=tmp_path / "b", forgo_rebuild=["totals"])
        assert done.first_position == 9


async def test_a_forced_trim_passes_a_view_over_which_then_holds_nothing(
    log: str, tmp_path: Path
) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 5)
        await keep_followed(log)
        await append_numbers(store, 10)
        await store.trim(before=10, archive=tmp_path / "a", force=True)
        done = await store.trim(before=12, archive=tmp_path / "b", forgo_rebuild=["totals"])
        assert done.first_position == 12


class Picky(Totals):
    """Cannot apply the number 13."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number; fail after it was added."""
        super().handle(connection, event)
        if event.data == 13:
            raise ZeroDivisionError("not 13")


@pytest.mark.promise("projection")
async def test_a_failed_batch_leaves_rows_and_checkpoint_together_and_status_names_it(
    log: str,
) -> None:
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 2), NewEvent("Counted", 13)])
        for _ in range(2):
            with pytest.raises(ProjectionError):
                await ProjectionRunner(store, Picky().at(log)).catch_up()
            assert read_totals(log) == {"n/1": 1}
            view = await view_of(store)
            assert (view["position"], view["failed_at"]) == (1, 3)
            assert "not 13" in view["failure"]
        await ProjectionRunner(store, Totals().at(log)).catch_up()
        assert read_totals(log) == {"n/1": 16}
        assert (await view_of(store))["failed_at"] is None


async def test_the_versions_of_views_are_read_with_sizes_and_events_set_aside(log: str) -> None:
    async with EventStore.open(log, inline=[Picky(on_error="set_aside")]) as store:
        await append_numbers(store, 14)
        (view,) = await store.query(lambda connection, _head: read_views(connection))
        assert (view.name, view.version, view.position) == ("totals", 1, 14)
        assert (view.is_build, view.is_followed) == (False, False)
        assert [one.position for one in view.set_aside] == [13]
        assert "not 13" in view.set_aside[0].reason
        assert view.set_aside_count == 1
        assert view.tables == ("counts",)
        assert view.size is not None
        assert (view.size.rows, view.size.more) == (4, False)
        assert (view.size.bytes is None) == log.startswith("sqlite")
    execute(log, "DROP TABLE counts")
    async with EventStore.open(log) as store:
        (view,) = await store.query(lambda connection, _head: read_views(connection))
        assert view.tables == ()


@pytest.mark.promise("projection")
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE projection SET version = 0", "no proper version"),
        ("UPDATE projection SET version = 7", "made for version 1, its checkpoint says 7"),
        ("UPDATE projection SET position = 3", "does not belong to this log"),
        ("UPDATE projection SET position = NULL", "no proper cursor"),
    ],
)
async def test_verify_finds_a_version_or_a_checkpoint_that_was_changed(
    log: str, change: str, what: str
) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        await append_numbers(store, 5)
        assert (await store.verify()).findings == ()
        execute(log, change)
        (finding,) = (await store.verify()).findings
        assert finding.where == "view 'totals'"
        assert what in finding.what


async def test_a_log_that_a_newer_program_has_changed_is_not_written_any_more(log: str) -> None:
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        execute(log, "UPDATE head SET schema_version = 99")
        with pytest.raises(StorageError, match="version 99 by now"):
            await store.append("n/1", [NewEvent("Counted", 1)])
        assert (await store.head()).position == 1
    with pytest.raises(StorageError, match="version 99, this program knows"):
        async with EventStore.open(log):
            pass


async def test_a_view_that_others_leave_behind_is_brought_up_after_a_wake_up(log: str) -> None:
    async with (
        EventStore.open(log, inline=[Totals()]) as keeper,
        EventStore.open(log) as other,
    ):
        subscription = keeper.subscribe_changes()
        for number in range(1, 4):
            await other.append("n/1", [NewEvent("Counted", number)])
            await take(subscription, 1)

        async def up() -> bool:
            await other.append("n/2", [NewEvent("Counted", 0)])
            await take(subscription, 1)
            return read_totals(log).get("n/1") == 6

        await eventually(up)
        await subscription.aclose()
