"""The interface of a rule store, for callers that name no implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from projections.rules.given_states import RuleStateLike
    from projections.rules.model import CompiledRule, RuleChange, RuleState


@runtime_checkable
class RuleStoreProtocol(Protocol):
    """Rules as an engine needs them: load once, then follow.

    :class:`~projections.rules.RuleStore`, what ``get_rule_store()`` returns and
    :class:`~projections.rules.RuleReplica` have it.
    """

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule with its current state stamped on."""

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's state: the default for an unknown id or an expired state."""

    async def set_state(self, rule_id: str, state: RuleStateLike, set_by: str) -> None:
        """Set a rule's state; raise if it could not be stored."""

    def subscribe_changes(self) -> AsyncIterator[RuleChange]:
        """Follow from what ``load_compiled`` saw: one item per logged change."""
