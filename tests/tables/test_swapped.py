"""A new version of an inline view takes the old one's place: with all that its tables were."""

from __future__ import annotations

import threading
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
from support.builds import bring_up, leftovers, with_old_version
from support.marks import ON_ASYNCIO
from support.totals import (
    DoubledTotals,
    TimesTotals,
    append_numbers,
    counts,
    read_totals,
    reader_of,
)

from eventstore import Event, EventStore, NewEvent
from eventstore.sync import EventStore as SyncStore
from projections import TableProjection
from projections.tables._builds_postgres import PostgresBuild
from projections.tables._builds_sqlite import SqliteBuild

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = [pytest.mark.anyio, pytest.mark.promise("projection"), ON_ASYNCIO]


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
