"""States as callers give them: any object with the fields of one becomes a checked state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Protocol

from eventstore.errors import InvalidInputError
from projections.rules.model import RuleState
from projections.seams.checks import check_text

_FIELDS: Final = ("state", "confidence_max", "expires_at", "reason")


class RuleStateLike(Protocol):
    """What ``set_state`` takes: a :class:`~projections.rules.RuleState`, or any such object.

    ``state`` is a text or a member of an enumeration whose value is the text. Who set it and when
    are stamped on by the store, so those fields may be missing.
    """

    @property
    def state(self) -> Any:
        """``enabled``, ``disabled`` or ``clipped``."""

    @property
    def confidence_max(self) -> Any:
        """The highest confidence that findings keep, from 0 to 1; ``None`` for no limit."""

    @property
    def expires_at(self) -> Any:
        """When the state ends; ``None`` for never."""

    @property
    def reason(self) -> Any:
        """Why it was set; ``None`` for no reason."""


def check_state(given: object, set_by: object, set_at: datetime) -> RuleState:
    """Return a state that every reader understands, stamped with who set it and when.

    A naive ``expires_at`` means UTC in objects of the caller's own classes. Raises
    InvalidInputError, which names the field, for what no state can hold.
    """
    fields = {name: _field(given, name) for name in _FIELDS}
    expires_at = fields["expires_at"]
    if not isinstance(given, RuleState) and isinstance(expires_at, datetime):
        fields["expires_at"] = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
    state = RuleState(**fields, set_by=check_text("set_by", set_by), set_at=set_at)
    if state.confidence_max is not None and not 0 <= state.confidence_max <= 1:
        raise InvalidInputError(
            "confidence_max", f"must be from 0 to 1, not {state.confidence_max}"
        )
    return state


def _field(given: object, name: str) -> Any:
    if not isinstance(given, type):  # A class has the defaults of its fields, and is no state.
        try:
            return getattr(given, name)
        except AttributeError:
            pass
    raise InvalidInputError(
        "rule state", f"{given!r:.80} has no {name}: give a RuleState, or an object with its fields"
    )
