"""The values of the registry, and the interface that its callers use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    get_args,
    runtime_checkable,
)

from eventstore.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Status: TypeAlias = Literal["active", "inactive", "error"]
"""The states of a registration."""

STATUSES: Final[tuple[str, ...]] = get_args(Status)

ChangeKind: TypeAlias = Literal["registered", "deactivated", "unregistered", "redacted"]
"""What happened to a registration."""

SortKey: TypeAlias = Literal["created_at", "updated_at", "bot_id", "status"]
"""Fields to sort lists by; equal ones are in order of first registration."""

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
        check_status(self.status)
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

        Only ``bot_id`` and ``config`` have to be there, and unknown keys are ignored.
        """
        known = {name: data[name] for name in cls.__slots__ if name in data}
        try:
            for name in _TIMES:
                if name in known:
                    known[name] = datetime.fromisoformat(known[name])
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise InvalidInputError("registration", str(error)) from error


def stored_registration(
    bot_id: str,
    config: dict[str, Any],
    status: Status,
    metadata: dict[str, Any],
    times: tuple[datetime, datetime, datetime],
) -> Registration:
    """Return a registration without checking it: it was checked before it was stored."""
    one = object.__new__(Registration)
    one.bot_id, one.config, one.status, one.metadata = bot_id, config, status, metadata
    one.created_at, one.updated_at, one.last_accessed_at = times
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
    """Return a known status; raise InvalidInputError for any other."""
    if status not in STATUSES:
        raise InvalidInputError("status", f"{status!r:.80} is none of {', '.join(STATUSES)}")
    return status  # type: ignore[return-value]


@runtime_checkable
class RegistryProtocol(Protocol):
    """The interface of a registry, for callers that name no implementation."""

    async def initialize(self) -> None:
        """Open; a second call does nothing."""

    async def close(self) -> None:
        """Close."""

    async def register(
        self,
        bot_id: str,
        config: dict[str, Any],
        status: Status = "active",
        *,
        metadata: dict[str, Any] | None = None,
    ) -> Registration:
        """Register, or replace."""

    async def get(self, bot_id: str) -> Registration | None:
        """Return a registration, and move its access time."""

    async def get_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return a configuration, and move its access time."""

    async def peek_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return a configuration and move nothing."""

    async def exists(self, bot_id: str) -> bool:
        """Whether there is an active one."""

    async def unregister(self, bot_id: str) -> bool:
        """Remove; True if it was registered."""

    async def deactivate(self, bot_id: str) -> bool:
        """Make inactive; True if it is registered."""

    async def list_active(self) -> list[Registration]:
        """Return active ones."""

    async def list_inactive(self) -> list[Registration]:
        """Return inactive ones."""

    async def list_all(self) -> list[Registration]:
        """Return all."""

    async def list_ids(self) -> list[str]:
        """Return the ids of active ones."""

    async def count(self) -> int:
        """Return the number of active ones."""

    async def count_inactive(self) -> int:
        """Return the number of inactive ones."""

    async def count_all(self) -> int:
        """Return the number of all."""

    async def clear(self) -> None:
        """Remove all."""
