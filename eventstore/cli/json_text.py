"""Values as lines of JSON that steer no terminal."""

from __future__ import annotations

import re
from json import dumps as json_escapes
from typing import Any, Final

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


def to_json(value: Any) -> bytes:
    """Encode a value as one line of JSON; bytes become base64, other objects their text.

    What would steer a terminal is in JSON's own escapes. JSON cannot hold a lone surrogate, which
    stands for a byte of a file name that is not UTF-8: it becomes its Python escape.
    """
    from msgspec import json  # noqa: PLC0415 - help needs none

    try:
        encoded = json.encode(value, enc_hook=str)
    except (UnicodeEncodeError, TypeError):
        encoded = json.encode(_encodable(value), enc_hook=str)
    text = encoded.decode()
    return encoded if text.isprintable() else _UNPRINTABLE.sub(_json_escape, text).encode()


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json_escapes(character)[1:-1]


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(str(key)): _encodable(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(one) for one in value]
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    return _encodable(str(value))
