"""Any text as the key of a stream, and back."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote, unquote

from eventstore.errors import InvalidInputError
from projections.seams.checks import check_key_size


def stream_key(text: object, what: str = "name") -> str:
    """Return any text as the key of a stream; :func:`read_stream_key` undoes it.

    What a stream's name may not hold (control characters), or would read otherwise (``/``,
    ``%``), is percent-encoded; any other text stays as it is. Raises InvalidInputError for
    an empty text and for what has no UTF-8, LimitExceededError over MAX_KEY_BYTES.
    """
    if not isinstance(text, str) or not text:
        raise InvalidInputError(what, f"must be a text that is not empty, not {text!r:.80}")
    check_key_size(what, text)
    if text.isprintable() and "/" not in text and "%" not in text:
        return text
    return "".join(
        quote(one, safe="") if one in "%/" or unicodedata.category(one) == "Cc" else one
        for one in text
    )


def read_stream_key(key: str) -> str:
    """Return the text that :func:`stream_key` made a key of."""
    return unquote(key)
