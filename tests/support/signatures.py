"""Comparing an implementation's methods with those of its protocol."""

from __future__ import annotations

import inspect


def same_signatures(protocol: type, kind: type, *, methods: int) -> None:
    """Check that every method of a protocol is there, with its parameters and their defaults.

    An implementation may have more keywords, with defaults. ``methods`` is how many there are.
    """
    names = [name for name in vars(protocol) if not name.startswith("_")]
    assert len(names) == methods, sorted(names)
    for name in names:
        wanted = inspect.signature(getattr(protocol, name)).parameters
        own = inspect.signature(getattr(kind, name)).parameters
        assert {key: (one.kind, one.default) for key, one in wanted.items()} == {
            key: (one.kind, one.default) for key, one in own.items() if key in wanted
        }, name
        more = [one for key, one in own.items() if key not in wanted]
        assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in more)
