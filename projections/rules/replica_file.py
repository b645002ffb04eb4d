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
from projections.rules._replica_fold import Change, ReplicaFold, Standing, newest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore.log.events import Event
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


class ReplicaFormat:
    """How a replica file begins and is read; a CompanionFormat of a projected directory."""

    name: Final = REPLICA_NAME

    def empty(self, log_id: str) -> ReplicaFile:
        """Return the replica before the first event."""
        return ReplicaFile(FORMAT, log_id, 0, "")

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
