"""A new version of an inline view: built beside the old one, gone on with after a kill, swapped."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, ClassVar

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    select,
    text,
)
from sqlalchemy import event as sqlalchemy_event
from support.processes import child, lines, lines_until_killed
from support.totals import (
    DoubledTotals,
    NotedTotals,
    TimesTotals,
    Totals,
    append_commits,
    append_numbers,
    assert_gapless,
    counts,
    read_table,
    read_totals,
    reader_of,
)

from eventstore import Event, EventStore, NewEvent, ProjectionError
from eventstore.sync import EventStore as SyncStore
from projections import TableProjection
from projections.tables._builds_postgres import PostgresBuild
from projections.tables._builds_sqlite import SqliteBuild
from projections.tables.checkpoints import building_table, projection_table

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.promise("projection"),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

COMMIT = 200
"""Events of a commit: more than the first steps apply."""

HIDDEN = ("projection_building_", "projection_dropped_")

IDENTITIES = {
    "sqlite": "SELECT name, rootpage FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT relname, oid FROM pg_class WHERE relkind = 'r'",
}
SCHEMAS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT nspname FROM pg_namespace",
}


def identities(url: str) -> dict[str, set[int]]:
    """Return where each table's rows are, by the end of its name."""
    found: dict[str, set[int]] = {}
    engine = reader_of(url)
    with engine.connect() as connection:
        for name, place in connection.execute(text(IDENTITIES[connection.dialect.name])):
            found.setdefault(name.rpartition("_")[2], set()).add(place)
    engine.dispose()
    return found


def live(url: str) -> int:
    """Return where the rows of the table are that readers find."""
    engine = reader_of(url)
    with engine.connect() as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'counts'"
        if connection.dialect.name == "postgresql":
            find = "SELECT to_regclass('counts')::oid::bigint"
        place = int(connection.execute(text(find)).scalar_one())
    engine.dispose()
    return place


def leftovers(url: str, since: frozenset[str] = frozenset()) -> set[str]:
    """Return hidden tables or schemas that were not there before."""
    engine = reader_of(url)
    with engine.connect() as connection:
        names = connection.execute(text(SCHEMAS[connection.dialect.name])).scalars()
        found = {name for name in names if name.startswith(HIDDEN) and name != building_table.name}
    engine.dispose()
    return found - since


def build_of(url: str) -> type[SqliteBuild | PostgresBuild]:
    """Return the class that builds in a database."""
    return SqliteBuild if url.startswith("sqlite") else PostgresBuild


async def with_old_version(url: str, commits: int = 1) -> dict[str, int]:
    """Make a log and a view of its first version; return its rows."""
    await append_commits(url, commits, size=COMMIT)
    async with EventStore.open(url, inline=[Totals()], notify="none"):
        pass
    return dict.fromkeys((f"n/{number}" for number in range(commits)), COMMIT)


async def bring_up(url: str, version: int) -> list[tuple[int, int]]:
    """Open a log with a version of the view; return the positions of its batches."""
    view = NotedTotals(version)
    async with EventStore.open(url, inline=[view], notify="none"):
        return view.batches


async def test_a_killed_build_is_gone_on_with_and_becomes_the_table(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log, 2)
    lines_until_killed(3, "new_view", log, 2, 3)
    [(_, version, _, at, *_)] = read_table(log, building_table)
    assert isinstance(at, int)
    assert (version, at > 0, read_totals(log)) == (2, True, old)
    built = identities(log)["counts"] - {live(log)}
    batches = await bring_up(log, 2)
    assert_gapless(batches, at, 2 * COMMIT)
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}
    assert live(log) in built, "its rows were copied"
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())


@pytest.mark.slow
async def test_an_abandoned_build_is_removed_by_a_higher_version(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    lines_until_killed(3, "new_view", log, 2, 3)
    assert leftovers(log, before)
    assert (await bring_up(log, 3))[0][0] == 1
    assert read_totals(log) == {key: 3 * total for key, total in old.items()}
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())


@pytest.mark.slow
async def test_a_version_that_was_abandoned_is_removed_by_the_one_that_stayed(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    lines_until_killed(3, "new_view", log, 2, 3)
    lines_until_killed(3, "new_view", log, 3, 3)
    await bring_up(log, 3)
    async with EventStore.open(log, inline=[TimesTotals(2)], notify="none"):
        assert read_totals(log) == {key: 3 * total for key, total in old.items()}
    assert leftovers(log, before) == set()


@pytest.mark.slow
async def test_a_build_that_has_lost_a_table_begins_again(log: str) -> None:
    old = await with_old_version(log)
    before = frozenset(leftovers(log))
    lines_until_killed(3, "new_view", log, 2, 3)
    engine = reader_of(log)
    with engine.begin() as connection:
        for name in leftovers(log, before):
            table = f"{name}.counts" if connection.dialect.name == "postgresql" else name
            connection.exec_driver_sql(f"DROP TABLE {table}")
    engine.dispose()
    assert (await bring_up(log, 2))[0][0] == 1
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}


async def test_a_handler_that_fails_ends_the_build_and_leaves_the_old_version(log: str) -> None:
    class Broken(DoubledTotals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == COMMIT - 1:
                raise ZeroDivisionError
            super().handle(connection, event)

    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    with pytest.raises(ProjectionError):
        async with EventStore.open(log, inline=[Broken()], notify="none"):
            pass
    assert (read_totals(log), leftovers(log, before)) == (old, set())
    assert (await bring_up(log, 2))[0][0] == 1, "rows of the failed handler were kept"


@pytest.mark.slow
async def test_processes_of_one_version_build_it_together(log: str) -> None:
    old = await with_old_version(log, 2)
    together = threading.Barrier(2)
    views = [NotedTotals(2), NotedTotals(2)]

    def open_with(view: NotedTotals) -> None:
        together.wait()
        with SyncStore.open(log, inline=[view], notify="none") as store:
            store.append("n/9", [NewEvent("Counted", 1)])

    threads = [threading.Thread(target=open_with, args=[view]) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_totals(log) == {key: 2 * total for key, total in old.items()} | {"n/9": 4}
    applied: Counter[int] = Counter()
    for view in views:
        for first, last in view.batches:
            applied.update(range(first, last + 1))
    assert set(applied) == set(range(1, 2 * COMMIT + 3))


shapes = MetaData()
owners = Table(
    "owners",
    shapes,
    Column("id", Integer, primary_key=True),
    Column("key", String, unique=True, nullable=False),
    Column("total", Integer, index=True),
    Column("twice", Integer, Computed("total * 2", persisted=True)),
    CheckConstraint("total > 0", name="some"),
)
entries = Table(
    "entries",
    shapes,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("owner", ForeignKey("owners.id", ondelete="CASCADE"), index=True),
    Column("before", ForeignKey("entries.position")),
)


class Shapes(TableProjection):
    """Tables with all that a renaming could lose."""

    name = "shapes"
    metadata: ClassVar[MetaData] = shapes

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version  # type: ignore[misc]

    def handle(self, connection: Connection, event: Event) -> None:
        key = f"{event.stream} {self.version}"
        find = select(owners.c.id).where(owners.c.key == key)
        owner = connection.execute(find).scalar_one_or_none()
        if owner is None:
            new = owners.insert().values(key=key, total=1).returning(owners.c.id)
            owner = connection.execute(new).scalar_one()
        # In words of its own: it finds the tables by their declared names alone.
        count = text("UPDATE owners SET total = total + 1 WHERE id = :id")
        connection.execute(count, {"id": owner})
        before = event.position - 1 or None
        connection.execute(
            entries.insert().values(position=event.position, owner=owner, before=before)
        )

    def state(self, url: str) -> object:
        """Return rows and shapes."""
        engine = reader_of(url)
        with engine.connect() as connection:
            look = inspect(connection)
            found = [
                (
                    [tuple(row) for row in connection.execute(select(table).order_by("id"))]
                    if table is owners
                    else connection.execute(select(table)).all(),
                    sorted((c["name"], str(c["type"])) for c in look.get_columns(table.name)),
                    sorted(map(str, look.get_foreign_keys(table.name))),
                    sorted(
                        (i["column_names"], bool(i["unique"])) for i in look.get_indexes(table.name)
                    ),
                    sorted(map(str, look.get_unique_constraints(table.name))),
                    sorted(map(str, look.get_check_constraints(table.name))),
                )
                for table in (owners, entries)
            ]
        engine.dispose()
        return found


async def test_a_swapped_version_is_what_a_new_one_would_be(log: str, target: str) -> None:
    for version in (1, 2, 3):
        async with EventStore.open(log, inline=[Shapes(version)], notify="none") as store:
            await append_numbers(store, 40)
    async with EventStore.open(target, notify="none") as store:
        for _ in range(3):
            await append_numbers(store, 40)
    async with EventStore.open(target, inline=[Shapes(3)], notify="none"):
        pass
    assert Shapes(3).state(log) == Shapes(3).state(target)
    engine = reader_of(log)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            assert not connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        connection.execute(entries.update().values(before=None))
        connection.execute(owners.delete())
        assert connection.execute(select(entries)).all() == [], "the reference is to another table"
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    "hindrance",
    [
        "CREATE TABLE theirs (key REFERENCES counts (key))",
        "listener",
        "check",
    ],
)
async def test_tables_that_cannot_be_renamed_are_copied(
    log: str, hindrance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(DoubledTotals):
        metadata: ClassVar[MetaData] = MetaData()

    table = counts.to_metadata(Other.metadata)
    if hindrance == "check":
        table.append_constraint(CheckConstraint("counts.total > 0"))
    old = await with_old_version(log)
    if hindrance == "listener":
        made: list[object] = []
        sqlalchemy_event.listen(table, "after_create", lambda *_, **__: made.append(1))
    elif hindrance != "check":
        engine = reader_of(log)
        with engine.begin() as connection:
            connection.exec_driver_sql(hindrance)
        engine.dispose()
    monkeypatch.setattr(SqliteBuild, "swap", None)
    async with EventStore.open(log, inline=[Other()], notify="none"):
        pass
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}
    assert leftovers(log) == set()


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.slow
async def test_a_view_of_another_program_shows_the_new_version(log: str) -> None:
    old = await with_old_version(log)
    engine = reader_of(log)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW theirs AS SELECT key, total FROM counts")
    await bring_up(log, 2)
    with engine.connect() as connection:
        found = {row.key: row.total for row in connection.execute(text("SELECT * FROM theirs"))}
    engine.dispose()
    assert found == {key: 2 * total for key, total in old.items()}


@pytest.mark.slow
async def test_a_role_that_may_make_no_schema_copies_the_rows(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = postgres.fresh_schema()
    name = schema.rpartition("%3D")[2]
    postgres.execute("CREATE ROLE plain_builder LOGIN PASSWORD 'x'")
    postgres.execute(f"GRANT USAGE, CREATE ON SCHEMA {name} TO plain_builder")
    log = f"postgresql://plain_builder:x@{schema.rpartition('@')[2]}"
    old = await with_old_version(log)
    monkeypatch.setattr(PostgresBuild, "swap", None)
    await bring_up(log, 2)
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}


@pytest.mark.slow
async def test_tables_that_move_have_the_rights_of_the_schema(postgres: Server) -> None:
    log = postgres.fresh_schema()
    name = log.rpartition("%3D")[2]
    rights = (
        "SELECT array_agg(a::text ORDER BY a::text) FROM pg_class, unnest(relacl) a WHERE oid = "
    )
    owner = postgres.execute(f"SELECT nspowner::regrole FROM pg_namespace WHERE nspname = '{name}'")
    postgres.execute(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner[0][0]} IN SCHEMA {name} "
        "GRANT SELECT ON TABLES TO PUBLIC"
    )
    await with_old_version(log)
    before = postgres.execute(f"{rights} '{name}.counts'::regclass")
    await bring_up(log, 2)
    assert before[0][0]
    assert postgres.execute(f"{rights} '{name}.counts'::regclass") == before


@pytest.mark.slow
async def test_a_reader_holds_up_the_swap_and_no_writer(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = postgres.fresh_schema()
    old = await with_old_version(log)
    tried = threading.Event()
    lock = PostgresBuild._lock_old

    def lock_old(build: PostgresBuild, seconds: float) -> bool:
        done = lock(build, min(seconds, 0.05))
        if not done:
            tried.set()
        return done

    def open_next() -> None:
        with SyncStore.open(log, inline=[TimesTotals(2)], notify="none"):
            pass

    monkeypatch.setattr(PostgresBuild, "_lock_old", lock_old)
    engine = reader_of(log)
    with engine.connect() as reader:
        assert len(reader.execute(select(counts)).all()) == len(old)
        opener = threading.Thread(target=open_next)
        opener.start()
        tried.wait()
        with SyncStore.open(log, notify="none") as writer:
            writer.append("n/1", [NewEvent("Counted", 1)])
        assert {row.key: row.total for row in reader.execute(select(counts))} == old
    opener.join()
    engine.dispose()
    assert read_totals(log) == {key: 2 * total for key, total in old.items()} | {"n/1": 2}


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_kills_at_any_statement_leave_one_whole_version(log: str, kills: int) -> None:
    before, dice = frozenset(leftovers(log)), Random(kills)
    await append_commits(log, 3, size=60)
    rows = {f"n/{number}": 60 for number in range(3)}
    version, swapped = 1, 0
    await bring_up(log, version)
    for number in range(kills):
        with child("said_statements", log, version + 1) as process:
            # Where it is open before, it is killed then, or has ended.
            for _ in islice(lines(process), dice.randint(40, 900)):
                pass
        [(_, stored, _, at, *_)] = read_table(log, projection_table)
        assert stored in {version, version + 1}
        assert read_totals(log) == {key: stored * total for key, total in rows.items()}, number
        assert at == 180
        swapped += stored != version
        version = stored
    assert kills < 100 or 10 < swapped < kills - 10, "no kill came before the swap, or after it"
    await bring_up(log, version + 1)
    assert read_totals(log) == {key: (version + 1) * total for key, total in rows.items()}
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())
