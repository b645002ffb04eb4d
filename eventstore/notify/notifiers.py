"""Whatever wakes followers early; which one a store uses is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.notify.file import FileNotifier
from eventstore.notify.none import NoNotifier
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eventstore.notify.protocol import Notifier


MIN_KEY_BYTES: Final = 16
"""A shared key that could be guessed would let its guesser bring in events."""


def make_notifier(
    notify: str, url: str | SecretUrl, database: Path | None, keys: Sequence[str] = ()
) -> Notifier:
    """Make the notifier that ``notify`` names, for the log at ``url``.

    ``"auto"`` is what the log brings along: files beside a log in the file ``database``,
    LISTEN on PostgreSQL, nothing for a log in memory. ``"file"``, ``"postgres"`` and
    ``"none"`` say it outright; ``"redis://…"`` (``rediss://``, ``unix://``) is that server,
    whose messages are signed with the first of ``keys``. Raises ConfigError for anything else.
    """
    url = SecretUrl.of(url)
    on_server = url.scheme == "postgresql"
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
        from eventstore.notify.postgres import PostgresNotifier  # noqa: PLC0415 - optional

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
    try:
        from eventstore.notify.redis import RedisNotifier  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(
            f"notify='redis://…' needs the client: pip install 'ruletide[redis]' ({error})"
        ) from error
    return RedisNotifier(server, [key.encode() for key in keys])
