"""Values that no append stores, and exports that a stranger bound them into."""

from __future__ import annotations

from typing import Any, Final

from eventstore.log import hash_chain as chain

DEEP: Final = b"[" * 100_000 + b"]" * 100_000

STRANGE: Final[dict[str, tuple[str, Any, str]]] = {
    "a year beyond all calendars": ("recorded_us", 2**62, "recorded_at"),
    "an id without bytes": ("id", b"", "id"),
    "an id of three bytes": ("id", b"\0\1\2", "id"),
    "an id of broken UTF-8": ("id", b"\xff\xc3\x28", "id"),
    "an id with a control character": ("id", b"\xffa\nb", "id"),
    "a UUID as text": ("id", b"\xff01234567-89ab-cdef-0123-456789abcdef", "id"),
    "JSON of 100,000 levels": ("data", DEEP, "data"),
    "data that is no JSON": ("data", b"{'a': 1}", "data"),
    "data of broken UTF-8": ("data", b'"\xc3\x28"', "data"),
    "a number out of range": ("data", b"1e400", "data"),
    "metadata that is a list": ("metadata", b"[1]", "metadata"),
    "metadata that is no JSON": ("metadata", b"{", "metadata"),
    "metadata over its limit": ("metadata", b'{"a":"' + b"x" * 65_536 + b'"}', "metadata"),
    "data with a name that is no text": ("data", b"{1: 2}", "data"),
    "data of which something follows": ("data", b"{} {}", "data"),
    "an unknown kind of content": ("content", 7, "content"),
    "a short salt": ("salt", b"salt", "salt"),
    "a type with a line break": ("type", "Hap\npened", "type"),
    "a type without a character": ("type", "", "type"),
    "a type over its limit": ("type", "x" * 256, "type"),
    "a stream without a category": ("stream", "one", "stream"),
    "a stream with an escape": ("stream", "a/\x1b[2J", "stream"),
}
"""Of the last event: a column, its value, and the field that findings name."""

NUL: Final = {
    "a type with a NUL": ("type", "Hap\0pened", "type"),
    "a stream with a NUL": ("stream", "a/\0", "stream"),
}
"""What PostgreSQL itself refuses to hold."""

_FIELDS: Final = (
    "kind", "position", "stream", "version", "id", "type", "commit", "content", "data",
    "metadata", "recorded_us", "salt", "digest", "hash",
)  # fmt: skip


def changed(records: list[list[Any]], position: int, column: str, value: Any) -> None:
    """Change an event of an export; a stream's name is changed in its list of streams too."""
    (event,) = [one for one in records if one[0] == "event" and one[1] == position]
    index = _FIELDS.index(column)
    if column == "stream":
        before = event[index]
        for one in records:
            for at, text in enumerate(one):
                if text == before:
                    one[at] = value
    event[index] = value


def bound(records: list[list[Any]]) -> list[list[Any]]:
    """Return the records with digests, hashes and the head as the log itself would have them."""
    head = records[0]
    previous = head[7] if head[3] > 1 else chain.genesis(head[2])
    hashes = {head[3] - 1: previous}
    for record in records:
        if record[0] == "kept":
            _bind(record, record[-1])
        elif record[0] == "event":
            previous = _bind(record, previous)
            hashes[record[1]] = previous
            head[5] = record[_FIELDS.index("recorded_us")]
    head[6] = previous
    for record in records:
        if record[0] == "consumer" and record[2] in hashes:
            record[3] = hashes[record[2]]
    return records


def _bind(record: list[Any], previous: bytes) -> bytes:
    """Give a record the digest and the hash that follow from the rest of it."""
    event = dict(zip(_FIELDS, record, strict=False))
    if event["salt"] is not None:
        content = event["content"], event["data"], event["metadata"]
        event["digest"] = chain.content_digest(event["salt"], *content)
    event["hash"] = chain.link(
        previous, event["position"], event["version"], event["commit"],
        event["recorded_us"], event["stream"].encode(), event["type"].encode(),
        event["id"], event["digest"],
    )  # fmt: skip
    record[: len(_FIELDS)] = event.values()
    digest: bytes = event["hash"]
    return digest
