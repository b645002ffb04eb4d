"""A place of a view that fails, each in its way: typed, told, the others go on, and it heals."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import SQLAlchemyError
from support.file_systems import filled, mounted
from support.logs import LOG_URLS
from support.many_totals import other_totals, read_count, run_sql
from support.marks import ON_ASYNCIO
from support.postgres import shared_server
from support.postgres_programs import give_away
from support.totals import Totals, read_totals
from support.waiting import eventually

from eventstore import EventStore, NewEvent, ProjectionError, StreamWrite
from projections import ProjectionRunner
from projections.cli.projection_status import projections
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Fault = Callable[[str, Path], AbstractContextManager[None]]

pytestmark = [pytest.mark.anyio, pytest.mark.promise("projection"), ON_ASYNCIO]


@contextmanager
def renamed_column(url: str, _: Path) -> Iterator[None]:
    """Take a column away."""
    run_sql(url, "ALTER TABLE counts RENAME COLUMN total TO theirs")
    yield
    run_sql(url, "ALTER TABLE counts RENAME COLUMN theirs TO total")


@contextmanager
def dropped_table(url: str, _: Path) -> Iterator[None]:
    """Drop the table."""
    run_sql(url, "DROP TABLE counts")
    yield


@contextmanager
def folder(_: str, place: Path) -> Iterator[None]:
    """Put a folder in the place of the file."""
    place.rename(place.with_name("elsewhere"))
    for suffix in ("-wal", "-shm"):
        place.with_name(place.name + suffix).unlink(missing_ok=True)
    place.mkdir()
    yield
    place.rmdir()


@contextmanager
def full(_: str, place: Path) -> Iterator[None]:
    """Fill the file system."""
    with filled(place.parent):
        yield


@contextmanager
def full_tablespace(url: str, _: Path) -> Iterator[None]:
    """Move the view's table to a file system without room."""
    server, schema = shared_server(), url.rpartition("%3D")[2]
    space, disk = f"small_{schema}", server.directory / f"small_{schema}"
    with mounted(disk):
        folder = disk / "space"
        folder.mkdir()
        give_away(disk)
        server.execute(f"CREATE TABLESPACE {space} LOCATION '{folder}'")
        server.execute(f"ALTER TABLE {schema}.counts SET TABLESPACE {space}")
        with full(url, folder):
            yield
        server.execute(f"ALTER TABLE {schema}.counts SET TABLESPACE pg_default")
        server.execute(f"DROP TABLESPACE {space}")


STRANGERS = {
    "sqlite": (
        "CREATE TRIGGER theirs BEFORE INSERT ON counts BEGIN SELECT RAISE(ABORT, 'theirs'); END",
        "DROP TRIGGER theirs",
    ),
    "postgresql": (
        "ALTER TABLE counts ADD CONSTRAINT theirs CHECK (total < 0) NOT VALID",
        "ALTER TABLE counts DROP CONSTRAINT theirs",
    ),
}
"""What adds a constraint to a view's table, and what removes it."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 1 MiB."""
    place = tmp_path / "disk"
    with mounted(place):
        yield place


@contextmanager
def role_that_reads(url: str, _: Path) -> Iterator[None]:
    """Let the sessions of the view's role only read."""
    server, role = shared_server(), url.partition("//")[2].partition(":")[0]
    server.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename='{role}'")
    yield
    server.execute(f"ALTER ROLE {role} SET default_transaction_read_only = off")


def url_of_own_role(url: str) -> str:
    """Return the URL of the same schema for a role that nothing else uses."""
    role = f"keeper_{url.rpartition('%3D')[2]}"
    secret = conninfo_to_dict(url)["password"]
    shared_server().execute(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}' IN ROLE tester")
    return url.replace("//tester:", f"//{role}:")


class Case(NamedTuple):
    """A fault, and what ``status`` says of it; "" where it may heal too soon for that."""

    kind: str
    fault: Fault
    said: str


CASES = [
    Case("sqlite", renamed_column, "was altered"),
    Case("sqlite", dropped_table, ""),
    Case("sqlite", folder, "unable to open database file"),
    Case("sqlite", full, "full"),
    Case("postgresql", renamed_column, "was altered"),
    Case("postgresql", dropped_table, ""),
    Case("postgresql", full_tablespace, "No space left on device"),
    Case("postgresql", role_that_reads, "read-only"),
]


class Views:
    """Two views of one runner, of which the first one's place fails."""

    def __init__(self, store: EventStore, target: str, other: str) -> None:
        self._store, self._target, self._other = store, target, other
        self.runner = ProjectionRunner(
            store, Totals().at(target), other_totals("a").at(other), heal_seconds=0.05
        )
        self.count = 0

    async def append(self, streams: int) -> None:
        """Append one event to each of so many new streams, in one commit."""
        names = [f"n/{'x' * 200}{self.count + number}" for number in range(streams)]
        await self._store.append_many(
            [StreamWrite(name, [NewEvent("Counted", 1)]) for name in names]
        )
        self.count += streams

    async def first_is_right(self) -> bool:
        try:
            rows = await anyio.to_thread.run_sync(read_totals, self._target)
        except SQLAlchemyError:  # A file or a table that is not there yet.
            return False
        return len(rows) == self.count == sum(rows.values())

    async def second_is_right(self) -> bool:
        return await anyio.to_thread.run_sync(read_count, self._other, "a") == self.count

    async def told(self) -> str:
        return "".join(str(entry.values["reason"]) for entry in await projections(self._store))

    async def is_well(self) -> bool:
        return not await self.told()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.fault.__name__}")
async def test_a_view_whose_place_fails_is_told_of_and_heals_while_others_go_on(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = tmp_path / "place"
    if case.fault is full:
        place = request.getfixturevalue("disk")
    else:
        place.mkdir()
    target = LOG_URLS[case.kind](place)
    if case.fault is role_that_reads:
        target = url_of_own_role(target)
    other, log = (f"sqlite:///{tmp_path}/{name}.db" for name in ("other", "log"))
    async with EventStore.open(log, poll=0.05) as store:
        views = Views(store, target, other)
        await views.append(2)
        await views.runner.catch_up()
        fault = case.fault(target, place / "events.db")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(views.runner.run)
            await views.append(2)
            await eventually(views.first_is_right)
            with fault:
                for _ in range(3):
                    await views.append(100)
                await eventually(views.second_is_right)
                if case.said:

                    async def said() -> bool:
                        return case.said in await views.told()

                    await eventually(said)
                assert views.runner.stopped == {}
            for right in (views.first_is_right, views.second_is_right, views.is_well):
                await eventually(right)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_constraint_of_a_stranger_stops_one_view_until_it_is_gone(
    log: str, kind: str, tmp_path: Path
) -> None:
    add, remove = STRANGERS[kind]
    async with EventStore.open(log, poll=0.05) as store:
        views = Views(store, log, f"sqlite:///{tmp_path}/other.db")
        await views.append(2)
        await views.runner.catch_up()
        run_sql(log, add)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(views.runner.run)
            await views.append(1)

            async def stopped() -> bool:
                return "theirs" in await views.told()

            await eventually(stopped)
            error = views.runner.stopped["totals"]
            assert isinstance(error, ProjectionError)
            assert (error.position, "IntegrityError" in error.reason) == (3, True)
            await eventually(views.second_is_right)
            (shown,) = [one for one in await store.query(lambda c, _: read_views(c)) if one.failure]
            assert (shown.name, shown.failed_at) == ("totals", 3)
            tasks.cancel_scope.cancel()
        run_sql(log, remove)
        await views.runner.catch_up()
        assert await views.first_is_right()
        assert await views.is_well()
