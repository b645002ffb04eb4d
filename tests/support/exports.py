"""Exports as bytes, taken apart and put together by the description of their format."""

from __future__ import annotations

import io
import struct
import zlib
from hashlib import sha256
from itertools import chain
from typing import Any

import msgspec

from eventstore import EventStore
from support.moving import fill


async def export(store: EventStore) -> bytes:
    file = io.BytesIO()
    moved = await store.export(file)
    assert moved.sha256 == sha256(file.getvalue()).hexdigest()
    return file.getvalue()


async def imported(url: str, content: bytes) -> None:
    async with EventStore.open(url) as store:
        await store.import_from(io.BytesIO(content))


def chunks(content: bytes) -> tuple[bytes, list[list[Any]], bytes]:
    """Take an export apart by its description: magic, records of each chunk, checksum."""
    at, found = 16, []
    while size := struct.unpack(">I", content[at : at + 4])[0]:
        found.append(msgspec.msgpack.decode(zlib.decompress(content[at + 4 : at + 4 + size])))
        at += 4 + size
    return content[:16], found, content[at + 4 :]


def joined(*parts: list[Any]) -> bytes:
    """Put the records of each chunk together to an export, with the right checksum."""
    packed = [zlib.compress(msgspec.msgpack.encode(part)) for part in parts]
    body = b"\x89eventstore\r\n\x1a\n\x01"
    body += b"".join(struct.pack(">I", len(one)) + one for one in packed) + bytes(4)
    return body + sha256(body).digest()


def taken_apart(content: bytes) -> list[list[Any]]:
    """Return the records of an export, those of all chunks in one list."""
    return list(chain.from_iterable(chunks(content)[1]))


async def small_export() -> bytes:
    async with EventStore.open("memory://") as store:
        await fill(store)
        return await export(store)
