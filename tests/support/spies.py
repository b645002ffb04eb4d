"""Noting how a method is called, while it does what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def note_calls(
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    method: str,
    of: Callable[..., Any] = lambda *given: given,
) -> list[Any]:
    """Return a list that gets ``of(*arguments)`` of each call from now on, before it is made.

    ``owner`` is an object, or a class: then the first argument is the object.
    """
    calls: list[Any] = []
    call = getattr(owner, method)

    def noting(*given: Any, **more: Any) -> Any:
        calls.append(of(*given))
        return call(*given, **more)

    monkeypatch.setattr(owner, method, noting)
    return calls
