"""Orders as they were written over the years, and the upcasters that tell them as of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore import NewEvent, Upcasters

if TYPE_CHECKING:
    from eventstore import Event


def order_upcasters() -> Upcasters:
    """Return what lifts ``Placed.v1`` to ``Placed``, and ``Placed`` of schema 1 to 2."""
    upcasters = Upcasters()

    @upcasters.register("Placed.v1", to="Placed")
    def rename_total(data: Any, metadata: dict[str, Any]) -> Any:
        return {"amount": data["total"]}

    @upcasters.register("Placed")
    def add_currency(data: Any, metadata: dict[str, Any]) -> Any:
        data["currency"] = metadata.pop("currency", "EUR")
        return data, metadata

    return upcasters


def first(total: int) -> NewEvent:
    """Return an order as the first version of the program wrote it."""
    return NewEvent("Placed.v1", {"total": total})


def second(amount: int, currency: str) -> NewEvent:
    """Return an order as the second version wrote it: the currency is in the metadata."""
    return NewEvent("Placed", {"amount": amount}, metadata={"by": "ana", "currency": currency})


def third(amount: int, currency: str) -> NewEvent:
    """Return an order as it is written today."""
    return NewEvent("Placed", {"amount": amount, "currency": currency}, metadata={"schema": 2})


def content(event: Event) -> tuple[str, Any, dict[str, Any]]:
    """Return what an upcaster may change."""
    return event.type, event.data, event.metadata
