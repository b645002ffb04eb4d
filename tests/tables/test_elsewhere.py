"""A view in another database than the log's: what the log is told of it, and its next version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import Connection, text
from support.builds import leftovers
from support.totals import (
    DoubledTotals,
    Totals,
    append_numbers,
    read_totals,
    reader_of,
)
from support.waiting import eventually

from eventstore import EventStore, HistoryDivergedError, NewEvent, ProjectionError
from eventstore.errors import ProjectionVersionError, StorageError
from eventstore.system.secret_url import SecretUrl
from projections import ProjectionRunner
from projections import elsewhere as told_of
from projections.cli.projection_status import elsewhere
from projections.elsewhere import read_elsewhere
from projections.tables import places
from projections.tables.dropping import drop_view
from projections.tables.elsewhere import elsewhere_table
from projections.tables.places import OtherPlace, forget_elsewhere, place_at
from projections.tables.retrying import retry_set_aside
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from eventstore import Event
    from projections.tables.view_model import ElsewhereView

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time over writing a note."""
    monkeypatch.setattr(told_of, "WAIT_SECONDS", 600.0)


async def told(store: EventStore) -> ElsewhereView:
    """Return the one view in another database that the log knows of."""
    (found,) = await read_elsewhere(store)
    return found


def doubled(rows: dict[str, int]) -> dict[str, int]:
    return {key: 2 * total for key, total in rows.items()}


def stored_texts(log: str) -> str:
    """Return everything that is stored of views elsewhere, as one text."""
    engine = reader_of(log)
    with engine.connect() as connection:
        rows = connection.execute(elsewhere_table.select()).all()
    engine.dispose()
    return repr(rows)


async def test_the_log_is_told_of_a_view_in_another_database(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        view = await told(store)
        (version,) = view.versions
        assert (view.projection, version.version, version.position) == ("totals", 1, 5)
        assert view.owner == store.owner
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, Totals().at(target)).catch_up()
        (entry,) = await elsewhere(store)
        assert (entry.values["state"], entry.values["lag"]) == ("stopped", 1)
        assert entry.fault.startswith("cannot apply 6: ZeroDivisionError")
        assert entry.name == f"totals in {SecretUrl(target)}"
        setting_aside = Totals(on_error="set_aside").at(target)
        await ProjectionRunner(store, setting_aside).catch_up()
        (entry,) = await elsewhere(store)
        assert (entry.values["state"], entry.fault) == ("live", "")
        assert "1 set aside, first 6: ZeroDivisionError" in entry.line
        assert [one["name"] for one in (await store.status())["views"]] == []


async def test_no_user_and_no_password_are_stored(log: str, target: str) -> None:
    class Leaking(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            raise ValueError("no answer of postgresql://ana:hunter22@host/db")

    async with EventStore.open(log) as store:
        await append_numbers(store, 1)
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, Leaking().at(target)).catch_up()
        stored = stored_texts(log)
        assert "no answer of" in stored
        assert "hunter22" not in stored
        user, _, password = SecretUrl(target).authority.rpartition("@")[0].partition(":")
        assert not [secret for secret in (user, password) if secret and secret in stored]


async def test_a_view_in_the_logs_own_database_is_not_told_again(log: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 2)
        await ProjectionRunner(store, Totals().at(log)).catch_up()
        assert await read_elsewhere(store) == []
        assert (await place_at(store, log)).name == ""


@pytest.mark.slow
async def test_a_runner_goes_on_where_the_log_cannot_be_told(
    log: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store, 5)

        async def refuse(*_: object) -> None:
            raise StorageError("the log", "read-only")

        monkeypatch.setattr(store, "transact", refuse)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        assert (read_totals(target), await read_elsewhere(store)) == (expected, [])


@pytest.mark.slow
async def test_a_live_run_tells_the_log_again(
    log: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_of, "TELL_SECONDS", 0.0)
    async with (
        EventStore.open(log) as store,
        EventStore.open(log) as reader,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ProjectionRunner(store, Totals().at(target)).run)
        for count in (2, 4):
            await append_numbers(store, 2)

            async def is_told(count: int = count) -> bool:
                found = await read_elsewhere(reader)
                return [one.versions[0].position for one in found] == [count]

            await eventually(is_told)
        tasks.cancel_scope.cancel()


async def test_a_next_version_is_built_and_swapped_elsewhere(log: str, target: str) -> None:
    before = frozenset(leftovers(target))
    async with EventStore.open(log) as store:
        first = await append_numbers(store, 30)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        place = await place_at(store, target)
        progress: list[tuple[int, int]] = []
        assert await place.build(DoubledTotals(), lambda *at: progress.append(at))
        assert progress[-1] == (30, 30)
        assert read_totals(target) == first, "readers see the old version"
        assert [(one.version, one.is_build) for one in (await told(store)).versions] == [
            (1, False), (2, True),
        ]  # fmt: skip
        await store.append("n/1", [NewEvent("Counted", 1)])
        # The live version is further than the build: the swap itself applies the rest.
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        assert await place.swap(DoubledTotals())
        assert read_totals(target) == doubled(first | {"n/1": first["n/1"] + 1})
        assert not await place.swap(DoubledTotals())
        assert not await place.build(DoubledTotals(), lambda *_: None)
        with pytest.raises(ProjectionVersionError):
            await ProjectionRunner(store, Totals().at(target)).catch_up()
        await ProjectionRunner(store, DoubledTotals().at(target)).catch_up()
        with pytest.raises(ProjectionVersionError):
            await place.build(Totals(), lambda *_: None)
    assert leftovers(target, before) == set()


@pytest.mark.slow
async def test_a_swap_beside_a_live_run_never_takes_rows_back(
    log: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "REST_EVENTS", 1)
    seen: list[int] = []
    async with EventStore.open(log) as store, EventStore.open(log) as writer:
        await append_numbers(store, 10)
        older = ProjectionRunner(store, Totals().at(target))
        await older.catch_up()

        async def read() -> None:
            while True:
                rows = await anyio.to_thread.run_sync(read_totals, target)
                seen.append(sum(rows.values()))

        async def append() -> None:
            while True:
                await writer.append("n/1", [NewEvent("Counted", 1)])

        async def run() -> None:
            with pytest.raises(ProjectionVersionError):
                await older.run()

        async with anyio.create_task_group() as tasks:
            for one in (read, append, run):
                tasks.start_soon(one)
            assert await (await place_at(store, target)).swap(DoubledTotals())
            at_the_swap = len(seen)

            async def is_read() -> bool:
                return len(seen) > at_the_swap + 1

            await eventually(is_read)
            tasks.cancel_scope.cancel()
        cursor = await ProjectionRunner(store, DoubledTotals().at(target)).catch_up()
        assert sum(read_totals(target).values()) == 2 * (55 + cursor.position - 10)
    assert seen == sorted(seen)


@pytest.mark.slow
async def test_a_build_elsewhere_that_fails_is_removed(log: str, target: str) -> None:
    class Broken(DoubledTotals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == 4:
                raise ZeroDivisionError
            super().handle(connection, event)

    before = frozenset(leftovers(target))
    async with EventStore.open(log) as store:
        first = await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        place = await place_at(store, target)
        for act in (place.swap(Broken()), place.build(Broken(), lambda *_: None)):
            with pytest.raises(ProjectionError, match="position 4"):
                await act
            assert (read_totals(target), leftovers(target, before)) == (first, set())
    async with EventStore.open("memory://") as other:
        with pytest.raises(HistoryDivergedError, match="another log"):
            await OtherPlace(other, target).build(DoubledTotals())


async def test_an_interrupted_build_elsewhere_goes_on(log: str, target: str) -> None:
    class OnlyCounted(DoubledTotals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.type == "Counted":
                super().handle(connection, event)

    def stop(position: int, head: int) -> None:
        raise KeyError(position, head)

    async with EventStore.open(log) as store:
        first = await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        place = await place_at(store, target)
        with pytest.raises(KeyError):
            await place.build(OnlyCounted(), stop)
        (_, build) = await place.query(read_views)
        assert build.position == 5
        await store.redact(3, reason="erased", by="tests")
        assert await place.swap(OnlyCounted())
        await ProjectionRunner(store, OnlyCounted().at(target)).catch_up()
        assert read_totals(target) == doubled(first | {"n/2": first["n/2"] - 3})


async def test_events_set_aside_elsewhere_are_tried_again_and_the_view_is_dropped(
    log: str, target: str
) -> None:
    class Mended(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            connection.execute(text("SELECT 1"))

    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Bad", 1)])
        aside = Totals(on_error="set_aside")
        await ProjectionRunner(store, aside.at(target)).catch_up()
        place = await place_at(store, target)
        assert (await retry_set_aside(store, aside, place=place)).left.keys() == {2}
        assert (await retry_set_aside(store, Mended(), place=place)).applied == [2]
        await place.tell("totals")
        assert (await told(store)).versions[0].set_aside_count == 0
        assert await drop_view(store, "totals", place=place)
        assert read_totals(target) == {}
        await place.tell("totals")
        assert await read_elsewhere(store) == []
        assert not await forget_elsewhere(store, "totals")
