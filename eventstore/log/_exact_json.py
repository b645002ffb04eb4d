"""Encoding as JSON without loss: a value that decoding would not give back equal is refused."""

from __future__ import annotations

import msgspec

from eventstore import limits
from eventstore.errors import InvalidInputError


def encode_exact(what: str, value: object) -> bytes:
    """Encode ``value``, refusing a value that decoding would not give back equal.

    ``what`` names the value in errors. Raises InvalidInputError. Decoding and comparing costs
    less than walking the value in Python, and it checks the promise itself: msgspec silently
    turns NaN into null, integer keys, datetimes and bytes into strings, and tuples into lists.
    """
    try:
        encoded = msgspec.json.encode(value)
        exact = msgspec.json.decode(encoded) == value
    except RecursionError as error:
        raise InvalidInputError(what, "is nested too deeply, or contains itself") from error
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidInputError(what, f"is not a JSON value: {error}") from error
    brackets = encoded.count(b"[") + encoded.count(b"{")
    if brackets > limits.MAX_NESTING and _nested_deeper(value, limits.MAX_NESTING):
        raise InvalidInputError(what, f"is nested more than {limits.MAX_NESTING} deep")
    if not exact:
        raise InvalidInputError(
            what, f"JSON cannot hold {_find_inexact(value, '$')} exactly; convert it first"
        )
    return encoded


def _nested_deeper(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit + 1):
        containers = [one for one in level if isinstance(one, list | dict)]
        if not containers:
            return False
        level = [
            inner
            for one in containers
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return True


def _find_inexact(value: object, path: str) -> str:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return f"the key {key!r:.60} at {path}"
            if not _survives(inner):
                return _find_inexact(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if not _survives(inner):
                return _find_inexact(inner, f"{path}[{index}]")
    return f"{value!r:.60} ({type(value).__name__}) at {path}"


def _survives(value: object) -> bool:
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value)) == value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return False
