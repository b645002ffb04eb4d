"""Whatever wakes followers early; which one a store uses is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import ConfigError
from eventstore.notifiers.file import FileNotifier
from eventstore.notifiers.none import NoNotifier

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.ports import Notifier


def make_notifier(notify: str, database: Path | None) -> Notifier:
    """Make the notifier that ``notify`` names for a log in the file ``database``.

    ``"auto"`` is the file notifier where the log has a file; ``"file"`` and ``"none"`` say
    it outright. Raises ConfigError for anything else.
    """
    if notify == "none" or (notify == "auto" and database is None):
        return NoNotifier()
    if notify in {"auto", "file"}:
        if database is None:
            raise ConfigError("notify='file' needs a log in a file; use 'none' for memory://")
        return FileNotifier(database.with_name(database.name + "-notify"))
    raise ConfigError(f"notify={notify!r} is not known: use 'auto', 'file' or 'none'")
