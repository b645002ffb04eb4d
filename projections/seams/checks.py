"""Checks of values that callers hand in: what JSON and every database hold exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from eventstore.errors import InvalidInputError, LimitExceededError

MAX_KEY_BYTES: Final = 255
"""The longest text that is a name, an id or part of an index, in bytes of UTF-8."""

# msgspec writes integers of up to 64 bits, signed or unsigned, and refuses longer ones.
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


def check_number(what: str, value: object) -> int | float:
    """Return a finite number that JSON holds exactly, as a plain int or float.

    Raises :class:`InvalidInputError` for booleans, NaN, infinities, integers of more than
    64 bits and everything that is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInputError(what, f"must be a number, not {value!r:.80}")
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise InvalidInputError(what, "must fit into 64 bits")
    elif not math.isfinite(value):
        raise InvalidInputError(what, f"must be a finite number, not {value!r}")
    return int(value) if isinstance(value, int) else float(value)


def check_whole_number(what: str, value: object, *, least: int = 0) -> int:
    """Return a limit, an offset or a position: an int from ``least`` to 2**63 - 1."""
    if type(value) is not int or not least <= value < 2**63:
        raise InvalidInputError(f"{what}={value!r:.40}", f"use a whole number from {least} on")
    return value


def check_flag(what: str, value: object) -> bool:
    """Return True or False; raise InvalidInputError for anything else."""
    if not isinstance(value, bool):
        raise InvalidInputError(what, f"must be True or False, not {value!r:.80}")
    return value


def check_text(what: str, value: object) -> str:
    """Return a text that UTF-8 can hold, as a plain str; raise InvalidInputError otherwise."""
    if not isinstance(value, str):
        raise InvalidInputError(what, f"must be a text, not {value!r:.80}")
    _utf8(what, value)
    return value if type(value) is str else str.__str__(value)


def check_optional_text(what: str, value: object) -> str | None:
    """Return a text that UTF-8 can hold, or ``None`` where it is absent."""
    return None if value is None else check_text(what, value)


def check_key_size(what: str, text: str) -> str:
    """Return a text of up to MAX_KEY_BYTES; raise LimitExceededError for a longer one."""
    if (size := len(_utf8(what, text))) > MAX_KEY_BYTES:
        raise LimitExceededError(f"{what} {text[:40]!r}…, bytes", size, MAX_KEY_BYTES)
    return text


def copy_object(what: str, value: object) -> dict[str, Any]:
    """Return any mapping as a JSON object of the store's own, the mappings in it too.

    An append checks its other values. Raises InvalidInputError for what is no mapping, for keys
    that are no texts, and for what contains itself.
    """
    if not isinstance(value, Mapping):
        raise InvalidInputError(what, f"must be a JSON object, not {value!r:.80}")
    try:
        copied: dict[str, Any] = _copy(what, value)
    except RecursionError as error:
        raise InvalidInputError(what, "is nested too deeply, or contains itself") from error
    return copied


def copy_optional_object(what: str, value: object) -> dict[str, Any] | None:
    """Return :func:`copy_object` of a mapping, or ``None`` where it is absent."""
    return None if value is None else copy_object(what, value)


def _copy(what: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {check_text(f"a key of {what}", key): _copy(what, one) for key, one in value.items()}
    return [_copy(what, one) for one in value] if isinstance(value, list) else value


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(what, f"{text!r:.80} cannot be written as UTF-8") from error
