"""A database that is not what it should be, or refuses: typed errors that keep its secrets."""

from __future__ import annotations

import logging
import subprocess
import traceback
from typing import TYPE_CHECKING, Final

import anyio
import psycopg
import pytest
from support.audit import audit_postgres
from support.commands import command, environment
from support.logs import data, positions, some
from support.network import HOST, free_port
from support.postgres import DATABASE, USER
from support.refused import COLUMNS, REFUSED
from support.waiting import DEADLINE, collect

from eventstore import ConfigError, EventStore, EventStoreError, NewEvent, StorageError

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = pytest.mark.anyio

SECRET: Final = "tHe-sEcret"
COPY_OF_2: Final = "INSERT INTO event SELECT {}, " + COLUMNS + " WHERE position = 2"
FORBIDDEN: Final = [
    *REFUSED,
    "UPDATE event SET data = '\\x00'",
    "UPDATE event SET hash = '\\x00'",
    "TRUNCATE event",
    "TRUNCATE head",
    "TRUNCATE stream CASCADE",
    "TRUNCATE event, head, stream",
    COPY_OF_2.format("2, stream_id, version, id"),
    COPY_OF_2.format("0, stream_id, 9, '\\x01'::bytea"),
    COPY_OF_2.format("-5, stream_id, 9, '\\x01'::bytea"),
    COPY_OF_2.format("position + 9, stream_id, version, '\\x01'::bytea"),
    COPY_OF_2.format("position + 9, stream_id, 9, id"),
    COPY_OF_2.format("2, stream_id, version, id") + " ON CONFLICT (position) DO UPDATE SET type=''",
    "INSERT INTO head SELECT one, 1, 'x', 1, 0, 0, hash FROM head",
    "INSERT INTO head SELECT 2, 1, 'x', 1, 0, 0, hash FROM head",
    "INSERT INTO stream SELECT id + 9, name, version FROM stream",
    "MERGE INTO event e USING head ON e.position = 1 WHEN MATCHED THEN DELETE",
    "MERGE INTO event e USING head ON e.position = 1 WHEN MATCHED THEN UPDATE SET type = 'other'",
]


@pytest.fixture
def empty(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


@pytest.fixture
def written(empty: str) -> str:
    """Name a closed log of three events."""

    async def write() -> None:
        async with EventStore.open(empty, notify="none") as store:
            await store.append("a/1", some(2))
            await store.append("b/1", some(1))

    anyio.run(write)
    return empty


def run(url: str, *statements: str) -> None:
    """Execute statements as the tables' owner, with nothing but the driver."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def schema_of(url: str) -> str:
    """Return the schema that a URL names."""
    return url.rpartition("%3D")[2]


def told(error: BaseException) -> str:
    """Return all that an error shows: itself, its causes, and its traceback's text."""
    parts = ["".join(traceback.format_exception(error))]
    cause: BaseException | None = error
    while cause is not None:
        parts += [str(cause), repr(cause), repr(getattr(cause, "args", ""))]
        cause = cause.__cause__ or cause.__context__
    return "\n".join(parts)


async def refused(url: str) -> EventStoreError:
    """Return the error with which opening fails."""
    with pytest.raises((StorageError, ConfigError)) as caught:
        async with EventStore.open(url, notify="none"):
            pass
    return caught.value


@pytest.mark.promise("immutable")
@pytest.mark.parametrize("statement", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_the_database_refuses_to_change_what_happened(written: str, statement: str) -> None:
    with psycopg.connect(written) as connection:
        version = connection.info.server_version
    if statement.startswith("MERGE") and version < 150000:
        pytest.skip("MERGE came with PostgreSQL 15")
    with pytest.raises((psycopg.IntegrityError, psycopg.errors.FeatureNotSupported)):
        run(written, statement)
    assert audit_postgres(written) == 3


def test_the_audit_finds_what_was_done_around_the_triggers(written: str) -> None:
    run(
        written,
        "ALTER TABLE event DISABLE TRIGGER USER",
        "UPDATE event SET data = '\\x31' WHERE position = 1",
    )
    with pytest.raises(AssertionError):
        audit_postgres(written)


async def test_redaction_keeps_the_chain_whole(written: str) -> None:
    run(written, "UPDATE event SET data = NULL, metadata = NULL, salt = NULL WHERE position = 2")
    assert audit_postgres(written) == 3
    async with EventStore.open(written, notify="none") as store:
        assert data(await collect(store.read())) == [0, None, 0]
        assert (await store.append("a/1", some(1))).position == 4


async def test_trimming_is_told_and_the_rest_is_readable(written: str) -> None:
    run(written, "UPDATE head SET first_position = 3", "DELETE FROM event WHERE position < 3")
    async with EventStore.open(written, notify="none") as store:
        assert positions(await collect(store.read(after=2))) == [3]
        assert (await store.append("a/1", some(1))).version == 3


async def test_a_newer_schema_is_refused(written: str) -> None:
    run(written, "UPDATE head SET schema_version = 99")
    assert "upgrade" in str(await refused(written))


async def test_another_program_s_tables_are_refused_and_stay(empty: str) -> None:
    run(empty, "CREATE TABLE head (something TEXT)", "INSERT INTO head VALUES ('theirs')")
    assert "not an event log's" in str(await refused(empty))
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT * FROM head").fetchall() == [("theirs",)]
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
        assert connection.execute(tables).fetchone() == (1,)


async def test_a_missing_schema_is_named(postgres: Server) -> None:
    message = str(await refused(postgres.url("not_there")))
    assert "search_path" in message
    assert f"{HOST}:{postgres.port}/{DATABASE}" in message


def unreachable(postgres: Server) -> dict[str, tuple[str, str]]:
    """Return URLs that carry the secret and cannot be connected to, and what names the reason."""
    place = f"{HOST}:{postgres.port}"
    return {
        "password": (f"postgresql://{USER}:{SECRET}@{place}/{DATABASE}", "password"),
        "role": (f"postgresql://nobody-here:{SECRET}@{place}/{DATABASE}", "nobody-here"),
        "host": (f"postgresql://u:{SECRET}@nowhere.invalid/d", "nowhere.invalid"),
        "port": (f"postgresql://u:{SECRET}@{HOST}:{free_port()}/d", "refused"),
        "socket": (f"postgresql:///d?host=/not/there&user=u&password={SECRET}", "/not/there"),
        "hosts": (f"postgresql://u:{SECRET}@{HOST}:1,{HOST}:2/d", f"{HOST}:1,{HOST}:2"),
        "parameter": (f"postgresql://u:{SECRET}@{place}/d?sslmod=require", "sslmod"),
        "percent": (f"postgresql://u:%zz{SECRET}@{place}/d", "percent-encode"),
        "at": (f"postgresql://u:x@{SECRET}@{place}/d", "percent-encode"),
        "slash": (f"postgresql://u:x/{SECRET}@{place}/d", "percent-encode"),
        "both": (f"postgresql://u:x/y?{SECRET}@{place}/d", "percent-encode"),
        "scheme": (f"postgress://u:{SECRET}@{place}/d", "postgress"),
    }


WAYS: Final = [
    "password", "role", "host", "port", "socket", "hosts", "parameter", "percent", "at", "slash",
    "both", "scheme",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_what_cannot_be_connected_to_is_told_without_the_password(
    postgres: Server, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, word = unreachable(postgres)[way]
    caplog.set_level(logging.DEBUG)
    error = await refused(url)
    assert word in str(error)
    assert SECRET not in told(error)
    assert SECRET not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_command_line_tells_it_in_one_line(postgres: Server, way: str) -> None:
    url, word = unreachable(postgres)[way]
    done = subprocess.run(
        command("status", "--url", url),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
    assert SECRET not in done.stderr


async def test_an_open_store_never_shows_its_password(
    postgres: Server, empty: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = psycopg.conninfo.conninfo_to_dict(empty)["password"]
    assert isinstance(secret, str)
    async with EventStore.open(empty) as store:
        await store.append("a/1", some(1))
        await collect(store.read())
        shown = [await store.status(), store.url, store, store._backend, vars(store._notifier)]
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", USER
        )
        await store.append("a/1", some(1))
    assert secret not in repr([one for one in shown if not isinstance(one, dict)][:3])
    assert secret not in repr(shown[0])
    assert secret not in caplog.text


@pytest.fixture
def reader(postgres: Server, written: str) -> str:
    """Name the log for a role that may read it and nothing else."""
    schema = schema_of(written)
    role = f"reader_{schema}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA {schema} TO {role}; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
    )
    place = f"{HOST}:{postgres.port}/{DATABASE}"
    return f"postgresql://{role}:reads@{place}?options=-csearch_path%3D{schema}"


async def test_a_role_that_may_only_read_reads_and_follows(reader: str, written: str) -> None:
    async with EventStore.open(reader) as store, EventStore.open(written) as writer:
        assert positions(await collect(store.read())) == [1, 2, 3]
        assert (await store.status())["position"] == 3
        subscription = store.subscribe_changes(after=3)
        await writer.append("a/1", some(1))
        with anyio.fail_after(DEADLINE):
            assert (await anext(subscription)).position == 4


async def test_what_a_role_may_not_do_is_told(reader: str) -> None:
    async with EventStore.open(reader, notify="none") as store:
        with pytest.raises(StorageError, match=r"permission denied for .* use a role that may"):
            await store.append("a/1", some(1))
        with pytest.raises(StorageError, match="permission denied"):
            async with store.subscribe_changes(consumer="w"):
                pass
        assert positions(await collect(store.read())) == [1, 2, 3]


async def test_a_role_that_may_not_even_read_is_told(postgres: Server, written: str) -> None:
    role = f"stranger_{schema_of(written)}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'nothing'")
    place = f"{HOST}:{postgres.port}/{DATABASE}"
    url = f"postgresql://{role}:nothing@{place}?options=-csearch_path%3D{schema_of(written)}"
    assert "search_path" in str(await refused(url))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_in_another_encoding_keeps_texts_or_refuses_them(
    postgres: Server, encoding: str
) -> None:
    name = f"in_{encoding.lower()}_{free_port()}"
    postgres.execute(
        f"CREATE DATABASE {name} OWNER {USER} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    )
    url = postgres.url().replace(f"/{DATABASE}", f"/{name}")
    async with EventStore.open(url, notify="none") as store:
        await store.append("é/1", [NewEvent("é", "é")])
        (event,) = await collect(store.read())
        assert (event.stream, event.type, event.data) == ("é/1", "é", "é")
        if encoding == "LATIN1":
            with pytest.raises(StorageError, match="LATIN1"):
                await store.append("日/1", some(1))
        assert (await store.append("a/1", [NewEvent("T", "日")])).position == 2
        assert data(await collect(store.read())) == ["é", "日"]
