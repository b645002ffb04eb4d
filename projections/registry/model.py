"""The values of the registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeAlias,
    get_args,
)

from eventstore.errors import InvalidInputError
from projections.seams.checks import copy_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Status: TypeAlias = Literal["active", "inactive", "error"]
"""The states of a registration."""

STATUSES: Final[tuple[str, ...]] = get_args(Status)

ChangeKind: TypeAlias = Literal["registered", "deactivated", "unregistered", "redacted"]
"""What happened to a registration."""

SortKey: TypeAlias = Literal["created_at", "updated_at", "last_accessed_at", "bot_id", "status"]
"""Fields to sort lists by, beside ``metadata.KEY``."""

SORT_KEYS: Final[tuple[str, ...]] = get_args(SortKey)

_TIMES: Final = ("created_at", "updated_at", "last_accessed_at")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Registration:
    """A registered bot or agent. It is a copy: changing it changes nothing stored.

    ``config`` and ``metadata`` are JSON objects; times are aware and in UTC, to the
    microsecond. Raises InvalidInputError for an unknown status and for a naive time.
    """

    bot_id: str
    config: dict[str, Any]
    status: Status = "active"
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: datetime = field(default_factory=_now)
    updated_at: datetime = field(default_factory=_now)
    last_accessed_at: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        self.status = check_status(self.status)
        for name in _TIMES:
            time = getattr(self, name)
            if not isinstance(time, datetime) or time.utcoffset() is None:
                raise InvalidInputError(name, f"must be an aware datetime, not {time!r:.80}")
            setattr(self, name, time.astimezone(UTC))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; times are ISO 8601."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        return {
            "bot_id": self.bot_id,
            "config": self.config,
            "status": self.status,
            "metadata": self.metadata,
            **times,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Undo :meth:`to_dict`; raise InvalidInputError for any other mapping.

        Only ``bot_id`` and ``config`` have to be there; ``None`` is as good as absent, and
        unknown keys are ignored.
        """
        try:
            known = {name: data[name] for name in cls.__slots__ if data.get(name) is not None}
            for name in _TIMES:
                if name in known and not isinstance(known[name], datetime):
                    known[name] = datetime.fromisoformat(known[name])
            for name in ("config", "metadata"):
                if name in known:
                    known[name] = copy_object(name, known[name])
            return cls(**known)
        except (AttributeError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError("registration", str(error)) from error


def stored_registration(
    bot_id: str,
    config: dict[str, Any],
    status: Status,
    metadata: dict[str, Any],
    created_at: datetime,
    updated_at: datetime,
    last_accessed_at: datetime,
) -> Registration:
    """Return a registration without checking it: it was checked before it was stored."""
    one = object.__new__(Registration)
    one.bot_id, one.config, one.status, one.metadata = bot_id, config, status, metadata
    one.created_at, one.updated_at, one.last_accessed_at = created_at, updated_at, last_accessed_at
    return one


class RegistryChange(NamedTuple):
    """One logged change, in the order of the log.

    ``config``, ``status`` and ``metadata`` are what was registered, ``None`` for other kinds.
    ``at`` is when the change was recorded (aware, UTC), ``by`` who wrote it, ``None`` if unknown.
    """

    kind: ChangeKind
    bot_id: str
    config: dict[str, Any] | None
    status: Status | None
    metadata: dict[str, Any] | None
    position: int
    at: datetime
    by: str | None


def check_status(status: object) -> Status:
    """Return a known status, also of an enumeration; raise InvalidInputError for any other."""
    plain = status.value if isinstance(status, Enum) else status
    for known in STATUSES:
        if isinstance(plain, str) and plain == known:
            return known  # type: ignore[return-value]
    raise InvalidInputError("status", f"{status!r:.80} is none of {', '.join(STATUSES)}")
