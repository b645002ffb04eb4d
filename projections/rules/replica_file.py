"""Rules and states as one file beside the projected ones, for hosts that only share files.

It holds what stands, the latest changes before it, and where in which log that is, behind a
checksum. Being one file, it is old or new and never half: whoever copies it as a whole has a
whole set, in whatever order the files beside it arrive. It is a function of the log.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import StorageError
from eventstore.log.events import Cursor
from eventstore.log.redaction import read_redaction
from projections.protocol import OutdatedViewError
from projections.rules.events import RULE_REMOVED, RULES, STATES
from projections.rules.model import (
    ChangeKind,
    CompiledRule,
    RuleState,
    encode_rule,
    encode_state,
)
from projections.rules.store import read_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore.log.events import Event
    from eventstore.log.redaction import Redaction

FEED: Final = ".eventstore-rules"
"""The file's name, in the root of the projected directory."""

FORMAT: Final = 1

RECENT_CHANGES: Final = 1_000
RECENT_BYTES: Final = 256 * 1024
"""How many changes, and how many bytes of them, the file holds beside what stands: whole
commits, the newest. A follower that was away for longer gets the latest word on each rule."""


class FeedError(StorageError):
    """The file of rules cannot be used: it is damaged, or was copied in part."""


NOTHING: Final = msgspec.Raw(b"null")
"""The value of what was taken away."""


class Standing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The latest word on a rule or a state, as JSON."""

    position: int
    type: str
    value: msgspec.Raw


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One logged change; ``value`` is JSON, ``hash`` the chain's at its position, in hex."""

    position: int
    commit: int
    hash: str
    kind: ChangeKind
    rule_id: str
    value: msgspec.Raw


class Feed(msgspec.Struct, frozen=True):
    """What the file says: all that stands, and every change after ``floor`` in ``recent``."""

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

        Below ``floor`` that is the latest word on each rule and state that changed.
        """
        if position >= self.floor:
            return [change for change in self.recent if change.position > position]
        return sorted(self._latest(position), key=lambda change: change.position)

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
_DECODER: Final = msgspec.json.Decoder(Feed)
_KINDS: Final[dict[str, ChangeKind]] = {RULES: "definition", STATES: "state"}


def empty_feed(log_id: str) -> Feed:
    """Return what is known before the first event."""
    return Feed(FORMAT, log_id, 0, "")


def encode_feed(feed: Feed) -> bytes:
    """Return the file's content; equal feeds give equal bytes."""
    body = _ENCODER.encode(feed)
    return b"%s\n%s" % (sha256(body).hexdigest().encode(), body)


def decode_feed(raw: bytes, where: str) -> Feed:
    """Read the file's content, trusting nothing in it; raise FeedError for what is none."""
    digest, _, body = raw.partition(b"\n")
    if sha256(body).hexdigest().encode() != digest:
        raise FeedError(where, "is not whole: it is being copied, or was changed")
    try:
        version = msgspec.json.decode(body, type=_Version).format
        if version != FORMAT:
            reason = f"has format {version}, and this program knows {FORMAT}: upgrade it"
            raise FeedError(where, reason)
        feed = _DECODER.decode(body)
        bytes.fromhex(feed.hash)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FeedError(where, f"is damaged ({error})") from error
    return feed


def fold_feed(feed: Feed, events: Sequence[Event], cursor: Cursor, view: str) -> Feed:
    """Return the feed as of ``cursor``, after these whole commits; ``feed`` stays as it was.

    Raises OutdatedViewError, naming the ``view``, where only a rebuild takes out what was
    redacted.
    """
    fold = _Fold(feed, view)
    for event in events:
        if (redaction := read_redaction(event)) is not None:
            fold.redact(event, redaction)
        else:
            fold.take(event)
    recent, floor = _newest(fold.recent, feed.floor)
    return Feed(
        FORMAT,
        cursor.log_id,
        cursor.position,
        cursor.hash.hex(),
        floor,
        fold.latest["definition"],
        fold.latest["state"],
        recent,
    )


class _Fold:
    def __init__(self, feed: Feed, view: str) -> None:
        self.latest: dict[ChangeKind, dict[str, Standing]] = {
            "definition": feed.rules.copy(),
            "state": feed.states.copy(),
        }
        self.recent = feed.recent.copy()
        self._view = view

    def take(self, event: Event) -> None:
        change = read_change(event)
        if change is None:
            return
        kind, rule_id, value = change
        gone = event.redacted or event.type == RULE_REMOVED
        self._put(event, kind, rule_id, event.type, NOTHING if gone else _encode(value))

    def redact(self, event: Event, redaction: Redaction) -> None:
        """Take an event's content back, as whoever follows the log itself is told to."""
        category, _, rule_id = redaction.stream.partition("/")
        kind = _KINDS.get(f"{category}/")
        if kind is None:
            return
        at = redaction.position
        self.recent = [
            _erased(change) if change.position == at else change for change in self.recent
        ]
        known = self.latest[kind].get(rule_id)
        if known is None or known.position < at:
            # An event that nobody could use, and that counts as a removal from now on.
            raise OutdatedViewError(self._view, at)
        if known.position == at and known.type != RULE_REMOVED:
            self._put(event, kind, rule_id, known.type, NOTHING)

    def _put(
        self, event: Event, kind: ChangeKind, rule_id: str, type_: str, value: msgspec.Raw
    ) -> None:
        self.latest[kind][rule_id] = Standing(event.position, type_, value)
        change = Change(event.position, event.commit, event.hash.hex(), kind, rule_id, value)
        self.recent.append(change)


def _erased(change: Change) -> Change:
    return msgspec.structs.replace(change, value=NOTHING)


def _encode(value: CompiledRule | RuleState) -> msgspec.Raw:
    plain = encode_rule(value) if isinstance(value, CompiledRule) else encode_state(value)
    return msgspec.Raw(msgspec.json.encode(plain))


def _newest(recent: list[Change], floor: int) -> tuple[list[Change], int]:
    """Return the newest whole commits that fit, and the position that they follow."""
    size, first = 0, len(recent)
    for index in range(len(recent) - 1, -1, -1):
        change = recent[index]
        size += len(change.value) + len(change.rule_id)
        if size > RECENT_BYTES or len(recent) - index > RECENT_CHANGES:
            break
        if index == 0 or recent[index - 1].commit != change.commit:
            first = index
    return recent[first:], recent[first - 1].commit if first else floor
