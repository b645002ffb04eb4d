"""Which notifier wakes the subscriptions of other processes: chosen from settings here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.notify._file import FileNotifier
from eventstore.notify._none import NoNotifier
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eventstore.notify.protocol import Notifier


MIN_KEY_BYTES: Final = 16
"""A program that guesses a shorter key could bring events into subscriptions."""


def make_notifier(
    notify: str, url: str | SecretUrl, database: Path | None, keys: Sequence[str] = ()
) -> Notifier:
    """Make the notifier that ``notify`` names, for the log at ``url``.

    ``"auto"`` follows from the log: a watched file beside a log in the file ``database``, LISTEN
    on PostgreSQL, the server of a log behind one, none for a log in memory. ``"file"``,
    ``"postgres"`` and ``"none"`` name one; ``"redis://…"`` (``rediss://``, ``unix://``) is that
    server, with messages signed by the first of ``keys``. Raises ConfigError for anything else, and
    where an extra is not installed.
    """
    url = SecretUrl.of(url)
    on_server = url.scheme == "postgresql"
    if notify == "auto" and url.scheme in {"http", "https"}:
        with needs_extra("http", "a log behind a server"):
            from eventstore.notify._http import HttpNotifier  # noqa: PLC0415 - optional
        return HttpNotifier(url)
    if notify == "auto":
        notify = "file" if database is not None else "postgres" if on_server else "none"
    if notify == "none":
        return NoNotifier()
    if notify == "file":
        if database is None:
            raise ConfigError("notify='file' needs a log in a file; use 'auto' or 'none'")
        return FileNotifier(database.with_name(database.name + "-notify"))
    if notify == "postgres":
        if not on_server:
            raise ConfigError("notify='postgres' needs a log on PostgreSQL; use 'auto'")
        with needs_extra("postgres", "notify='postgres'"):
            from eventstore.notify._postgres import PostgresNotifier  # noqa: PLC0415 - optional
        return PostgresNotifier(url)
    server = SecretUrl(notify)
    if server.scheme in {"redis", "rediss", "unix"}:
        return _redis(server, keys)
    shown = repr(server) if server.scheme else repr(notify) if notify.isalnum() else "…"
    raise ConfigError(
        f"notify={shown} is not known: use 'auto', 'file', 'postgres', 'none' or a URL that "
        "begins with redis://"
    )


def _redis(server: SecretUrl, keys: Sequence[str]) -> Notifier:
    if any(len(key.encode()) < MIN_KEY_BYTES for key in keys):
        raise ConfigError(f"a notifier's key is too short: use {MIN_KEY_BYTES} characters or more")
    with needs_extra("redis", "notify='redis://…'"):
        from eventstore.notify._redis import RedisNotifier  # noqa: PLC0415 - optional
    return RedisNotifier(server, [key.encode() for key in keys])
