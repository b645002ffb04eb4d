"""Connections to SQLite that one caller after another is given."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

from projections.sql.sqlite.guard import Guard, Mode

if TYPE_CHECKING:
    from eventstore.storage.user_transaction import UserTransaction


class Seat:
    """A connection that one caller after another is given, and what is known about it."""

    def __init__(self, guest: UserTransaction) -> None:
        self.guest = guest
        self.guard = Guard()
        self.guard.mode = Mode.READ
        self.known_writes: set[str] = set()
        """Statements that need a transaction; the driver keeps them compiled."""
        self.personal = False
        """Whether a caller has given it settings or functions: nobody else is given it."""
        guest.raw.row_factory = sqlite3.Row
        guest.raw.set_authorizer(self.guard)

    @property
    def is_fresh(self) -> bool:
        """Whether the next caller finds it as if it were new."""
        return not (self.personal or self.guard.personal)


class Recorder(Protocol):
    """Whom a connection tells about its transactions, and gives its seat back to."""

    def begun(self, guest: UserTransaction, guard: Guard) -> None:
        """Say what may be written in the transaction that was just begun."""

    def record(self, guest: UserTransaction) -> Any:
        """Append what the transaction did."""

    def done(self, recorded: Any) -> None:
        """Wake followers, now that it is durable."""

    def leave(self, seat: Seat) -> None:
        """Keep a connection for the next caller, or close it."""
