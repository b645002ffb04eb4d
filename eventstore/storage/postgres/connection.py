"""Connecting to PostgreSQL: what a URL means, and the limits that every session gets."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventstore.errors import ConfigError
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from psycopg.abc import PQGen

    from eventstore.storage._stream_cache import StreamCache
    from eventstore.storage.postgres._row_arrays import RowType
    from eventstore.storage.postgres.watchdog import Watchdog

CONNECT_SECONDS: Final = 10
"""How long connecting may take, for each host of the URL."""

DEFAULTS: Final = {
    "connect_timeout": str(CONNECT_SECONDS),
    "fallback_application_name": "eventstore",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Connection parameters that a URL may override: a host that has gone is noticed in 30 s."""

WRITABLE: Final = {"target_session_attrs": "read-write"}
"""The same, where the URL names several hosts: a replica that answers first may lack events that
were acknowledged, and a subscription ahead of it would report that history diverged."""

FIXED: Final = {"client_encoding": "UTF8"}
"""Connection parameters that nothing overrides: texts are compared by their bytes in UTF-8."""

SETTINGS: Final = {
    "statement_timeout": "50s",
    "lock_timeout": "30s",
    # A process that was stopped in the middle of an append blocks all others. Its transaction
    # has to end before their own time limits do.
    "idle_in_transaction_session_timeout": "10s",
    # Seconds and milliseconds until the server notices that a client's machine is gone.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Settings of a session, each unless the server, role or URL sets it."""

CANCEL_SECONDS: Final = 5.0
"""How long a request to end a statement may take; the watchdog's limit comes after it."""

GRACE_SECONDS: Final = 10.0
"""Seconds that an answer may take beyond the server's own ``statement_timeout``."""


TICK_SECONDS: Final = 0.1
"""How often a wait for an answer looks whether to end the statement: psycopg's own interval."""


class _Pipeline(psycopg.Pipeline):
    """A pipeline that sends nothing after its last Sync.

    psycopg sends a Flush there. The server takes that for the next command and stops the timer
    that limits how long the transaction may be idle: a process that is stopped would keep the
    head locked without a limit. A Sync is answered without a Flush.
    """

    def _exit_gen(self) -> Generator[Any, Any, None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        finally:
            yield from self._fetch_gen(flush=False)


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows when it was made, and how long an answer may take it."""

    made = 0.0
    patience: float = CONNECT_SECONDS
    has_user_limits = False
    """Whether it has the limits of callers' own statements, not the log's."""
    reset_sent: float | None = None
    """When its reset was sent, on the monotonic clock, while the answers have not been taken."""
    head_page = 0
    """The page that the log's head row was on when it was last read."""
    schema = ""
    """The schema of the log's tables, as SQL writes it; empty where there is none."""
    has_ledger = False
    """Whether a table in the log's database is known to name those of projections."""
    row_types: list[RowType | None] | None = None
    """The row types of the tables that appends write, once they were looked for."""
    stream_cache: StreamCache | None = None
    """What the last append of a caller's transaction has left, once there was one."""
    own_settings: dict[str, str]
    """What :func:`connect` has set for the session, as no statement of a caller may leave it."""

    is_over: Callable[[], bool] | None = None
    """Whether the statement under way has to end; ``None`` where only the server decides."""

    @contextmanager
    def interrupting(self, is_over: Callable[[], bool]) -> Iterator[None]:
        """Have the server end the statements of the block, also one that runs, by ``is_over()``."""
        self.is_over = is_over
        try:
            yield
        finally:
            self.is_over = None

    def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Wait for the answer to a statement; look at each tick (0.1 s) whether to end it."""
        if self.is_over is not None:
            gen = self._watched(gen, self.is_over)
        return super().wait(gen, *args, **options)

    def _watched(self, steps: PQGen[Any], is_over: Callable[[], bool]) -> PQGen[Any]:
        """Take the steps of a wait; at a tick after ``is_over()`` ask the server to stop.

        Where it is over before the first step, which sends the statement, nothing is sent.
        """
        if is_over():
            raise psycopg.errors.QueryCanceled("ended before it was sent")
        asked, looked = False, time.monotonic()
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                # Nothing is ready at a tick; while answers go on, it looks as often.
                if not asked and (not ready or time.monotonic() >= looked + TICK_SECONDS):
                    looked = time.monotonic()
                    if is_over():
                        asked = True
                        with suppress(psycopg.Error):
                            self.cancel_safe(timeout=CANCEL_SECONDS)
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Send what the block executes as one exchange."""
        if self._pipeline is None:
            self._pipeline = _Pipeline(self)
        with super().pipeline() as pipeline:
            yield pipeline


def connection_info(url: str | SecretUrl) -> str:
    """Return what libpq connects by; raise ConfigError for a URL that it does not know.

    Hosts (several are tried in turn), TLS settings, ``options`` and all else are libpq's.
    """
    url = SecretUrl.of(url)
    reason = "percent-encode what is no letter or digit in user name and password"
    try:
        rest = url.given.partition("://")[2]
        given = conninfo_to_dict(f"{url.scheme.partition('+')[0]}://{rest}")
    except psycopg.ProgrammingError as error:
        given = None
        # libpq quotes what it stumbles over: a part of the password, unless it is a parameter.
        named = re.search(r'query parameter: "\w+"', str(error))
        reason = str(error).strip() if named and "@" not in url.query else reason
    # An "@" or "/" within the password moves the rest of it to where host or database belong.
    if given is None or url.authority.count("@") > 1 or "@" in url.path:
        # Without libpq's error in its chain, for the same reason.
        raise ConfigError(f"the log's URL is not one of PostgreSQL's: {reason}")
    texts = {name: str(value) for name, value in given.items()}
    several = WRITABLE if "," in (texts.get("host") or texts.get("hostaddr", "")) else {}
    return make_conninfo(**DEFAULTS | several | texts | FIXED)


# 'off' would acknowledge what a crash of the server can still lose.
_BEGIN: Final = """SELECT name, pg_catalog.set_config(name, value, false)
FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[]))
AS wanted (name, value) JOIN pg_catalog.pg_settings USING (name)
WHERE setting = '0' OR source = 'default'
UNION ALL SELECT 'synchronous_commit', pg_catalog.set_config('synchronous_commit', 'on', false)
WHERE pg_catalog.current_setting('synchronous_commit') = 'off'
UNION ALL SELECT name, pg_catalog.set_config(name, 'on', false)
FROM (VALUES ('standard_conforming_strings')) AS lexical (name)"""


def connect(info: str, watchdog: Watchdog) -> Session:
    """Connect in autocommit mode, with limits and durability as the log needs them."""
    connection = Session.connect(info, autocommit=True)
    try:
        with watchdog.limit(connection, CONNECT_SECONDS):
            connection.own_settings = dict(
                connection.execute(
                    _BEGIN, {"names": list(SETTINGS), "values": list(SETTINGS.values())}
                )
            )
            _pin_path(connection)
            row = connection.execute(
                "SELECT extract(epoch FROM "
                "pg_catalog.current_setting('statement_timeout')::interval)"
            ).fetchone()
        connection.made = time.monotonic()
        connection.patience = float(row[0] if row else 0) + GRACE_SECONDS
    except BaseException:
        connection.close()
        raise
    return connection


# A schema that is made later, or temporary tables, would otherwise come before the log's own.
_SCHEMAS: Final = """SELECT pg_catalog.quote_ident(name::pg_catalog.text)
FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS found (name, place)
WHERE name NOT IN ('pg_catalog', 'pg_temp') AND name OPERATOR(pg_catalog.!~~) 'pg_temp%'
ORDER BY place"""


def _pin_path(connection: Session) -> None:
    """Let names mean what the search path says now: the server's own, then the schemas' in order.

    The first of them is the log's. Temporary tables come last, for no name of another object.
    """
    schemas = [name for (name,) in connection.execute(_SCHEMAS)]
    if schemas:
        connection.schema, path = schemas[0], ", ".join([*schemas, "pg_temp"])
        connection.execute("SELECT pg_catalog.set_config('search_path', %s, false)", (path,))
        connection.own_settings["search_path"] = path


def is_lost(error: BaseException | None) -> bool:
    """Return whether the connection or the server went away, rather than the statement failed."""
    if isinstance(error, psycopg.OperationalError):
        # Class 08 is connections, 57P a server that stops or starts; no state: the network.
        return error.sqlstate is None or error.sqlstate[:2] == "08" or error.sqlstate[:3] == "57P"
    # Where a connection ends within a pipeline, libpq makes up a result without a state, for
    # which psycopg has no class but this one.
    return isinstance(error, _ENDED) or (
        type(error) is psycopg.DatabaseError and error.sqlstate is None
    )


def has_outdated_plan(error: BaseException | None) -> bool:
    """Return whether a session keeps a statement prepared for columns that a table had before.

    The statement fails in that session from then on. The error has no code of its own, and its text
    depends on the server's language.
    """
    cause = getattr(error, "orig", error)
    return (
        isinstance(cause, psycopg.errors.FeatureNotSupported)
        and cause.diag.source_function == "RevalidateCachedQuery"
    )


def is_timeout(error: BaseException | None) -> bool:
    """Return whether one of the server's limits on time ended the statement."""
    return isinstance(error, _TIMEOUTS)


_ENDED: Final = (
    psycopg.errors.IdleInTransactionSessionTimeout,
    # The server was, or has become, one that only reads: another connection may find the one
    # that writes.
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.InterfaceError,
    OSError,
)
_TIMEOUTS: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.TransactionTimeout,
)
