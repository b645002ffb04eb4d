"""Connecting to PostgreSQL: what a URL means, and the limits that every session gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from eventstore.watchdog import Watchdog

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

SETTINGS: Final = {
    "statement_timeout": "50s",
    "lock_timeout": "30s",
    # A process that was stopped in the middle of an append would hold up all the others.
    "idle_in_transaction_session_timeout": "30s",
}
"""What a session is given wherever the server, role or URL sets no limit of its own."""


def connection_info(url: str) -> str:
    """Return what libpq connects by; raise ConfigError for a URL that it does not know.

    Hosts (several are tried in turn), TLS settings, ``options`` and all else are libpq's.
    """
    scheme, _, rest = url.partition("://")
    try:
        given = conninfo_to_dict(f"{scheme.partition('+')[0]}://{rest}")
    except psycopg.ProgrammingError as error:
        reason = str(error).strip()
        if "percent-encoded" in reason:
            # libpq quotes the text around it, and that is nearly always the password.
            reason = "a % in it that is none of an escape is written %25"
        raise ConfigError(f"{safe_url(url)!r} is not a PostgreSQL URL: {reason}") from error
    return make_conninfo(**{**DEFAULTS, **{name: str(given[name]) for name in given}})


def safe_url(url: str) -> str:
    """Return the URL without its password, for messages."""
    try:
        given = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    except psycopg.ProgrammingError:
        return "postgresql://…"
    hosts = str(given.get("host") or "").split(",")
    ports = str(given.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    where = ",".join(
        f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False)
    )
    return f"postgresql://{where}/{given.get('dbname') or ''}"


def connect(info: str, watchdog: Watchdog) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect in autocommit mode, with limits and durability as the log needs them."""
    connection = psycopg.connect(info, autocommit=True)
    limits = " UNION ALL ".join(
        f"SELECT set_config('{name}', '{value}', false) WHERE current_setting('{name}') = '0'"
        for name, value in SETTINGS.items()
    )
    # 'off' would acknowledge what a crash of the server can still lose.
    durable = (
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    try:
        with watchdog.limit(connection, CONNECT_SECONDS):
            connection.execute(f"{limits} UNION ALL {durable}".encode())
    except BaseException:
        connection.close()
        raise
    return connection


def is_lost(error: BaseException | None) -> bool:
    """Return whether the connection or the server went away, rather than the statement failed."""
    if isinstance(error, psycopg.OperationalError):
        # Class 08 is connections, 57P a server that stops or starts; no state: the network.
        return error.sqlstate is None or error.sqlstate[:2] == "08" or error.sqlstate[:3] == "57P"
    return isinstance(error, psycopg.InterfaceError | OSError)
