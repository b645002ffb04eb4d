"""Rules and states as one file beside the projected ones, for hosts that only share files.

The replica file holds what stands, the latest changes before it, and where in which log that is,
behind a checksum. Being one file, it is old or new and never half: a copy of it is a whole set,
in any order in which the files beside it arrive. It is a function of the log.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import StorageError
from eventstore.log.events import Cursor
from projections.directory.commit_journal import JOURNAL
from projections.directory.content import Line
from projections.rules._replica_fold import Change, ReplicaFold, Standing, newest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore.log.events import Event
    from projections.directory.content import Companion
    from projections.rules.model import ChangeKind

REPLICA_NAME: Final = ".eventstore-rules"
"""The file's name, in the root of the projected directory."""

FORMAT: Final = 1


class ReplicaFileError(StorageError):
    """The replica file cannot be used: it is damaged, or was copied in part."""


FeedError = ReplicaFileError
"""The name of ReplicaFileError in earlier versions."""


class ReplicaFile(msgspec.Struct, frozen=True):
    """What the replica file says: all that stands, and every change after ``floor``.

    ``hash`` is the chain's at ``position``, in hex. A Companion of a projected directory.
    """

    format: int
    log_id: str
    position: int
    hash: str
    floor: int = 0
    rules: dict[str, Standing] = {}
    states: dict[str, Standing] = {}
    recent: list[Change] = []

    @property
    def cursor(self) -> Cursor:
        """Where in the log it is."""
        return Cursor(self.log_id, self.position, bytes.fromhex(self.hash))

    def since(self, position: int) -> list[Change]:
        """Return what changed after a position, in order.

        Below ``floor`` that is the last change of each rule and of each state.
        """
        if position >= self.floor:
            return [change for change in self.recent if change.position > position]
        return sorted(self._latest(position), key=lambda change: change.position)

    def after(self, events: Sequence[Event], cursor: Cursor) -> ReplicaFile:
        """Return the replica as of ``cursor``, after these whole commits.

        Raises OutdatedError where only a rebuild takes out what was redacted.
        """
        fold = ReplicaFold(self.rules, self.states, self.recent)
        for event in events:
            fold.apply(event)
        return self.with_fold(fold, cursor)

    def with_fold(self, fold: ReplicaFold, cursor: Cursor) -> ReplicaFile:
        """Return the replica as of ``cursor``, with what the fold has come to."""
        recent, floor = newest(fold.recent, self.floor)
        return ReplicaFile(
            FORMAT,
            cursor.log_id,
            cursor.position,
            cursor.hash.hex(),
            floor,
            fold.latest["definition"],
            fold.latest["state"],
            recent,
        )

    def encode(self) -> bytes:
        """Return the file's content; equal replicas give equal bytes."""
        body = _ENCODER.encode(self)
        return b"%s\n%s" % (sha256(body).hexdigest().encode(), body)

    def _latest(self, position: int) -> Iterator[Change]:
        kinds: tuple[tuple[ChangeKind, dict[str, Standing]], ...] = (
            ("definition", self.rules),
            ("state", self.states),
        )
        for kind, latest in kinds:
            for rule_id, one in latest.items():
                if one.position > position:
                    yield Change(one.position, self.position, "", kind, rule_id, one.value)


class _Version(msgspec.Struct):
    format: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ReplicaFile)
_STEPS: Final = msgspec.json.Decoder(list[tuple[str, Change]])


class ReplicaFormat:
    """How a replica file begins and is read; a CompanionFormat of a projected directory."""

    name: Final = REPLICA_NAME

    def empty(self, log_id: str) -> ReplicaFile:
        """Return the replica before the first event."""
        return ReplicaFile(FORMAT, log_id, 0, "")

    def checksum(self, raw: bytes) -> str:
        """Return the checksum that the file begins with."""
        return raw[:64].decode("ascii", "replace")

    def delta(self, before: Companion, after: Companion) -> bytes | None:
        """Return as JSON the changes that lead from one replica to the other, None if they do not.

        They do not where content was redacted, or where there are more than a replica holds.
        """
        assert isinstance(before, ReplicaFile)  # noqa: S101 - this format's own
        assert isinstance(after, ReplicaFile)  # noqa: S101
        steps = []
        for change in after.recent:
            if change.position > before.position:
                latest = after.rules if change.kind == "definition" else after.states
                steps.append((latest[change.rule_id].type, change))
        raw = _ENCODER.encode(steps)
        line = Line(after.position, after.hash, {}, msgspec.Raw(raw))
        return raw if self.continued(before, [line]) == after else None

    def continued(self, companion: Companion, lines: Sequence[Line]) -> ReplicaFile:
        """Return the replica after these lines; raise ReplicaFileError where one is damaged."""
        assert isinstance(companion, ReplicaFile)  # noqa: S101 - this format's own
        fold = ReplicaFold(companion.rules, companion.states, companion.recent)
        try:
            for line in lines:
                for type_, change in _STEPS.decode(line.companion):
                    fold.put(type_, change)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ReplicaFileError(JOURNAL, f"is damaged ({error})") from error
        cursor = Cursor(companion.log_id, lines[-1].position, bytes.fromhex(lines[-1].hash))
        return companion.with_fold(fold, cursor)

    def decode(self, raw: bytes, where: str) -> ReplicaFile:
        """Check and read the file's content; raise ReplicaFileError where it is damaged."""
        digest, _, body = raw.partition(b"\n")
        if sha256(body).hexdigest().encode() != digest:
            raise ReplicaFileError(where, "is not whole: it is being copied, or was changed")
        try:
            version = msgspec.json.decode(body, type=_Version).format
            if version != FORMAT:
                reason = f"has format {version}, and this program knows {FORMAT}: upgrade it"
                raise ReplicaFileError(where, reason)
            replica = _DECODER.decode(body)
            bytes.fromhex(replica.hash)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ReplicaFileError(where, f"is damaged ({error})") from error
        return replica


REPLICA_FORMAT: Final = ReplicaFormat()
