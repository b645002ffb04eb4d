"""Encoding as JSON without loss: a value that decoding would not give back equal is refused."""

from __future__ import annotations

from typing import Final

import msgspec

from eventstore import limits
from eventstore.errors import InvalidInputError

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
"""Made once: the functions of the module make one for each call."""


def encode_exact(what: str, name: str, value: object) -> bytes:
    """Encode ``value``, refusing a value that decoding would not give back equal.

    ``what`` and ``name`` (``data of``, a type) name the value in errors. Raises
    InvalidInputError. Decoding and comparing costs less than walking the value in Python, and it
    checks the promise itself: msgspec silently turns NaN into null, integer keys, datetimes and
    bytes into strings, and tuples into lists.
    """
    try:
        encoded = _encode(value)
        exact = _decode(encoded) == value
    except RecursionError as error:
        reason = "is nested too deeply, or contains itself"
        raise InvalidInputError(f"{what} {name!r}", reason) from error
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidInputError(f"{what} {name!r}", f"is not a JSON value: {error}") from error
    if _is_too_deep(encoded, value):
        raise InvalidInputError(f"{what} {name!r}", _TOO_DEEP)
    if not exact:
        reason = f"JSON cannot hold {_find_inexact(value, '$')} exactly; convert it first"
        raise InvalidInputError(f"{what} {name!r}", reason)
    return encoded


def check_encoded(encoded: bytes) -> object:
    """Return the value of stored JSON; raise InvalidInputError where an append would refuse it."""
    try:
        value = _decode(encoded)
    except RecursionError as error:
        raise InvalidInputError("JSON", _TOO_DEEP) from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidInputError("JSON", f"is no JSON: {error}") from error
    if _is_too_deep(encoded, value):
        raise InvalidInputError("JSON", _TOO_DEEP)
    return value


_TOO_DEEP: Final = f"is nested more than {limits.MAX_NESTING} deep"


def _is_too_deep(encoded: bytes, value: object) -> bool:
    # A level takes two brackets of the text at least.
    if len(encoded) <= 2 * limits.MAX_NESTING:
        return False
    brackets = encoded.count(b"[") + encoded.count(b"{")
    return brackets > limits.MAX_NESTING and _nested_deeper(value, limits.MAX_NESTING)


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
