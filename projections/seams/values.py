"""Checks that values of every seam share: what JSON and every database hold exactly."""

from __future__ import annotations

import math
from typing import Final

from eventstore.errors import InvalidInputError

# msgspec writes integers of up to 64 bits, signed or unsigned, and refuses longer ones.
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


def check_number(what: str, value: object) -> int | float:
    """Return ``value`` if it is a finite number that JSON holds exactly.

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
    return value


def check_text(what: str, value: object, *, optional: bool = False) -> None:
    """Raise InvalidInputError unless ``value`` is a text that UTF-8 can hold.

    With ``optional`` it may be ``None``.
    """
    if value is None and optional:
        return
    if not isinstance(value, str):
        wanted = "a text or None" if optional else "a text"
        raise InvalidInputError(what, f"must be {wanted}, not {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(what, f"{value!r:.80} cannot be written as UTF-8") from error
