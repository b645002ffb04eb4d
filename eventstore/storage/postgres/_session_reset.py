"""A session on PostgreSQL between one caller's statements and the next caller's.

No tree of syntax shows whether a session has to be reset: which function, operator or cast a name
means, and what a default, view or trigger calls, the server alone knows, and to ask it takes as
long as the reset. So each session is reset, without a wait: the statements are sent when it comes
back, and answered while the caller goes on. The answers are taken at its next use, before anything
else is sent.
"""

from __future__ import annotations

import logging
import select
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import generators, sql
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from eventstore.storage.postgres.connection import Session
    from eventstore.storage.postgres.watchdog import Watchdog

log = logging.getLogger(__name__)

LIMITS: Final = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
"""The log's own limits, which a caller's statements do not have."""

UNASKED_SECONDS: Final = 1.0
"""Idle time after which a session is asked whether it still lives, as a silent network needs."""

# What DISCARD ALL does, which would also drop the statements that the driver has prepared.
_RESET: Final = (
    "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; DISCARD TEMP; "
    "DISCARD SEQUENCES"
)
# Plain functions and SET: a view and set_config() take several times as long.
_LEFT: Final = (
    "SELECT pg_catalog.pg_advisory_unlock_all(); "
    "SELECT pg_catalog.quote_ident(name) FROM pg_catalog.pg_prepared_statement() WHERE from_sql"
)


def reset_between_callers(engine: Engine, watchdog: Watchdog) -> None:
    """Reset each session of a pool when it comes back, until it is next given out."""

    def start(raw: Session | None, _record: object) -> None:
        if raw is not None:  # It was lost, or dropped.
            start_reset(raw)

    def finish(raw: Session, _record: object, _proxy: object) -> None:
        finish_reset(raw, watchdog)

    event.listen(engine, "checkin", start)
    event.listen(engine, "checkout", finish)


def start_reset(session: Session) -> None:
    """Send what leaves nothing of the last caller's statements; do not wait for the answers."""
    if session.closed:
        return
    try:
        session.pgconn.send_query(_reset_query(tuple(session.own_settings.items())))
        session.pgconn.flush()
        session.reset_sent = time.monotonic()
    except (psycopg.Error, OSError) as error:
        log.debug("the session cannot be reset; it is dropped: %s", error)
        session.close()


@lru_cache(32)
def _reset_query(own_settings: tuple[tuple[str, str], ...]) -> bytes:
    settings = [
        # The path is a list, of names that are quoted already.
        f"SET {name} = {value if name == 'search_path' else sql.quote(value)}"
        for name, value in own_settings
        if name not in LIMITS
    ]
    # Outside a transaction nothing is written.
    settings.append("SET default_transaction_read_only = on")
    return "; ".join([_RESET, *settings, _LEFT]).encode()


def finish_reset(session: Session, watchdog: Watchdog) -> None:
    """Take the answers. Raises InvalidatePoolError for a session that nothing can be done with."""
    sent, session.reset_sent = session.reset_sent, None
    if sent is None and not session.closed:
        return  # It is new.
    try:
        with watchdog.limit(session, session.patience):
            names = _take_answers(session)
            if names:
                session.execute(b"; ".join(b"DEALLOCATE " + name for name in names), prepare=False)
            elif time.monotonic() - (sent or 0) > UNASKED_SECONDS or _has_input(session):
                session.execute("", prepare=False)
    except (psycopg.Error, OSError) as error:
        log.debug("the session cannot be reset; it is dropped: %s", error)
        session.close()
        raise InvalidatePoolError from error


def _take_answers(session: Session) -> list[bytes]:
    """Return the names of the statements that a caller has prepared, quoted."""
    results = session.wait(generators.execute(session.pgconn))
    for result in results:
        if result.status not in _DONE:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace"))
    prepared = results[-1]
    return [prepared.get_value(row, 0) or b"" for row in range(prepared.ntuples)]


_DONE: Final = (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK)


def _has_input(session: Session) -> bool:
    """Return whether the server has said something unasked, such as that it ends the session."""
    waiting = select.poll()
    waiting.register(session.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
