"""Whatever wakes followers early; which one a store uses is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import ConfigError
from eventstore.notifiers.file import FileNotifier
from eventstore.notifiers.none import NoNotifier

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.ports import Notifier


def make_notifier(notify: str, url: str, database: Path | None) -> Notifier:
    """Make the notifier that ``notify`` names, for the log at ``url``.

    ``"auto"`` is what the log brings along: files beside a log in the file ``database``,
    LISTEN on PostgreSQL, nothing for a log in memory. ``"file"``, ``"postgres"`` and
    ``"none"`` say it outright. Raises ConfigError for anything else.
    """
    if notify == "auto":
        on_server = url.startswith("postgres")
        notify = "file" if database is not None else "postgres" if on_server else "none"
    if notify == "none":
        return NoNotifier()
    if notify == "file":
        if database is None:
            raise ConfigError("notify='file' needs a log in a file; use 'auto' or 'none'")
        return FileNotifier(database.with_name(database.name + "-notify"))
    if notify == "postgres":
        if not url.startswith("postgres"):
            raise ConfigError("notify='postgres' needs a log on PostgreSQL; use 'auto'")
        from eventstore.notifiers.postgres import PostgresNotifier  # noqa: PLC0415 - optional

        return PostgresNotifier(url)
    raise ConfigError(f"notify={notify!r} is not known: use 'auto', 'file', 'postgres' or 'none'")
