"""A log behind a server: read and written by requests, decided and stored where it is.

The store on top is the same as on a database: it follows, groups appends and keeps checkpoints.
What waits at the same time travels as one request, and joins one group of the server's writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

import msgspec

from eventstore.errors import ConfigError, NotServedError, StorageError
from eventstore.log.events import Cursor
from eventstore.log.operations import (
    Acknowledge,
    Append,
    ConsumerState,
    OpenConsumer,
    Redact,
    RemoveConsumer,
    RemoveReport,
    RewindConsumer,
    SlowConsumers,
    StoreReport,
    StreamState,
    ToldView,
    Transact,
    Trim,
    ViewState,
    WorkerReport,
)
from eventstore.remote import wire
from eventstore.remote.connection import Connection
from eventstore.remote.problems import error_of_problem
from eventstore.storage.http._not_served import NotServed
from eventstore.storage.http._page_checks import check_page
from eventstore.storage.reading import read_told_views, read_views
from eventstore.storage.reports import read_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.log.operations import CommitBatch, Head, Operation, Outcome, Page, Query
    from eventstore.storage.protocols import LockHolder
    from eventstore.system.secret_url import SecretUrl

T = TypeVar("T")

GROUP_BYTES: Final = 8 * 1024 * 1024
"""Bytes of appends that travel together, unless one alone has more."""

PAGE_EVENTS: Final = 1_024
"""Events of a page at the most."""


class HttpBackend(NotServed):
    """A log behind a server; see :class:`eventstore.storage.protocols.Backend`."""

    dialect: ClassVar[str] = "http"
    path: Path | None = None

    def __init__(
        self,
        url: str | SecretUrl,
        clock: Clock,  # noqa: ARG002 - the server's gives the times
        inline: Inline,
        write_wait: float,  # noqa: ARG002 - the server has its own
    ) -> None:
        self._connection = Connection(url)
        super().__init__(self._connection.url)
        if inline:
            raise ConfigError(
                f"{self.url}: inline projections are computed where the log is, by the server: "
                "open a store by URL without them"
            )
        self._identity: wire.Identity | None = None
        self._newest: Head | None = None
        """The head that the server has told last."""

    def watch_waits(self, check: Callable[[], None]) -> None:
        """Do nothing: what waits for a turn to write is the server."""

    def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - the server has it
        """Ask the server which log it has."""
        try:
            self._identity = self._identify()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def _identify(self) -> wire.Identity:
        identity = self._connection.read(wire.ReadHead(), wire.Identity)
        self._newest = identity.head
        return identity

    def head(self) -> Head:
        """Return the committed head."""
        return self._identify().head

    def identify(self) -> tuple[Head, str]:
        """Return the committed head, and which copy of its history the log is."""
        self._identity = self._identify()
        return self._identity.head, self._identity.incarnation

    def page(self, query: Query) -> Page:
        """Read one page; raise WrongPageError for one that is not what the log holds."""
        limit = min(query.limit, PAGE_EVENTS)
        query = msgspec.structs.replace(query, limit=limit, in_metadata=b"")
        known = self._newest
        sealed = self._connection.read(wire.asked_by(query), wire.PageAnswer).sealed()
        check_page(self.url, query, sealed, known)
        self._newest = sealed.page.head
        return sealed.page

    def consumers(self, names: Sequence[str] | None = None) -> list[ConsumerState]:
        """Return named consumers, by name."""
        asked = wire.ReadConsumers(None if names is None else tuple(names))
        return self._connection.read(asked, list[ConsumerState])

    def slowest_consumers(self, limit: int, among: int | None) -> SlowConsumers:
        """Return those that are furthest behind."""
        found = self._connection.read(wire.ReadSlowest(limit, among), wire.SlowestAnswer)
        return SlowConsumers(found.number, found.more, found.states)

    def stream_states(self, prefix: str, after: str, limit: int) -> list[StreamState]:
        """Return streams by name."""
        return self._connection.read(wire.ReadStreams(prefix, after, limit), list[StreamState])

    def read(self, function: Callable[[Any], T]) -> T:
        """Return the table projections, or what workers have told; refuse the rest."""
        asked: wire.Read
        shape: Any
        if function is read_views:
            asked, shape = wire.ReadViews(), list[ViewState]
        elif function is read_told_views:
            asked, shape = wire.ReadToldViews(), list[ToldView]
        elif function is read_reports:
            asked, shape = wire.ReadReports(), list[WorkerReport]
        else:
            raise NotServedError(self.url, "reads of its database")
        return cast("T", self._connection.read(asked, shape))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return none: appends are the server's."""
        return {}

    def describe(self) -> dict[str, str | int]:
        """Return the kind."""
        return {"backend": "http"}

    def named_lock(self, name: str) -> None:
        """Return none: hosts that reach a log by a server share no lock."""

    def named_locks(self) -> list[LockHolder]:
        """Return none."""
        return []

    def write(
        self,
        group: Sequence[Operation],
        tell: Callable[[CommitBatch], None] | None = None,  # noqa: ARG002 - the server wakes
    ) -> list[Outcome]:
        """Carry out a group; each operation has its own outcome.

        Where a request is lost it may have been carried out: repeating is safe, by the events' ids.
        """
        outcomes: list[Outcome] = []
        for part in _parts(group):
            outcomes += self._write(part)
        return outcomes

    def _write(self, part: Sequence[Operation]) -> list[Outcome]:
        sent = [_sent(one) for one in part]
        asked = [one for one in sent if one is not None]
        answers = iter(self._send(asked))
        return [
            NotServedError(self.url, _NAMES.get(type(one), "this")) if what is None
            else self._outcome(next(answers))
            for one, what in zip(part, sent, strict=True)
        ]  # fmt: skip

    def _send(self, asked: list[wire.Sent]) -> list[wire.SentOutcome]:
        if not asked:
            return []
        known = self._identity
        assert known is not None  # noqa: S101 - set by open
        body = wire.encode(wire.Group(known.head.log_id, known.incarnation, asked))
        answer = self._connection.post(wire.WRITE_PATH, body)
        answers = wire.decode(answer, list[wire.SentOutcome], self.url)
        if len(answers) != len(asked):
            raise StorageError(self.url, "answered other operations than were asked")
        return answers

    def _outcome(self, sent: wire.SentOutcome) -> Outcome:
        if isinstance(sent, wire.SentAppended):
            return sent.appended()
        if isinstance(sent, wire.SentState):
            return sent.state
        return error_of_problem(self.url, sent.status, sent.body)


_NAMES: Final[dict[type, str]] = {
    Redact: "redactions",
    Transact: "transactions of its database",
    Trim: "trims",
}
"""What servers do not offer, by the operation."""


def _parts(group: Sequence[Operation]) -> list[list[Operation]]:
    """Cut a group so that the appends of a part are not too large for one request."""
    parts: list[list[Operation]] = [[]]
    size = 0
    for one in group:
        more = one.size if isinstance(one, Append) else 0
        if parts[-1] and size + more > GROUP_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += more
    return parts


def _sent(operation: Operation) -> wire.Sent | None:
    """Return an operation as it travels; ``None`` for one that servers do not offer."""
    sent: wire.Sent | None = None
    match operation:
        case Append():
            sent = wire.SentAppend.of(operation)
        case OpenConsumer(name, owner, start):
            sent = wire.SentOpen(name, owner, start)
        case RemoveConsumer(name=name):
            sent = wire.SentRemove(name)
        case RewindConsumer(name, to, owner):
            place = to if isinstance(to, Cursor) else min(to, wire.LARGEST)
            sent = wire.SentRewind(name, place, owner)
        case Acknowledge(name, epoch, cursor):
            sent = wire.SentAck(name, epoch, cursor)
        case StoreReport(name, report):
            sent = wire.SentReport(name, report)
        case RemoveReport(name):
            sent = wire.SentReport(name, None)
    return sent
