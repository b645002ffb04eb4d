"""The file of an export: checksummed, compressed chunks of records.

Everything is read and written in one pass and one chunk at a time, so that a pipe will do and
the largest log costs no more memory than the smallest. See docs/moving.md for the bytes.
"""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Final

import msgspec

from eventstore import limits
from eventstore.errors import ArchiveError
from eventstore.log.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\x89eventstore\r\n\x1a\n\x01"
"""What a file begins with: a transfer that alters bytes 0x80, CR or LF shows at once."""

_SQLITE: Final = b"SQLite format 3\x00"
"""What a SQLite file begins with."""

CHUNK_BYTES: Final = 256 * 1024
"""A chunk ends once its records hold this much."""

MAX_CHUNK_BYTES: Final = CHUNK_BYTES + limits.MAX_EVENT_BYTES + 4 * limits.MAX_METADATA_BYTES
"""Most bytes that a chunk may unpack to; a reader refuses a file that claims more."""

LEVEL: Final = 4
"""zlib's: a tenth larger than level 6, at twice the speed."""

_RECORD_BYTES: Final = 250
"""Bytes of a record besides its content, roughly."""

_size = struct.Struct(">I")


class ArchiveWriter:
    """Writes records to a binary file that is open for writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = sha256()
        self._records: list[Record] = []
        self._weight = 0
        self._encoder = msgspec.msgpack.Encoder()
        self._put(MAGIC)

    def write(self, record: Record, content_bytes: int = 0) -> bool:
        """Add a record whose content has so many bytes; return whether a chunk was written."""
        self._records.append(record)
        self._weight += _RECORD_BYTES + content_bytes
        if self._weight < CHUNK_BYTES:
            return False
        self._flush()
        return True

    def finish(self) -> str:
        """Write what is left and the footer; return the SHA-256 of the whole file, in hex."""
        self._flush()
        self._put(_size.pack(0))
        self._put(self._hash.digest())
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if self._records:
            packed = zlib.compress(self._encoder.encode(self._records), LEVEL)
            self._put(_size.pack(len(packed)))
            self._put(packed)
            self._records, self._weight = [], 0

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)


def no_export(beginning: bytes) -> str:
    """Say what a file is that begins as no export does."""
    if beginning == _SQLITE:
        return "it is a SQLite file, no export: a backup is put back by 'eventstore restore'"
    return "it is no export of a log"


def read_archive(file: IO[bytes], where: str) -> Iterator[tuple[int, list[Record]]]:
    """Yield each chunk's first byte and records; end once the whole file's checksum is right.

    A caller that acts on the records has to undo that where this raises at the end. Raises
    ArchiveError, naming the byte, for what is truncated, altered or followed by anything.
    """
    decoder = msgspec.msgpack.Decoder(list[Record])
    checksum, offset = sha256(), 0

    def take(count: int, what: str) -> bytes:
        nonlocal offset
        data = file.read(count)
        if len(data) < count:
            raise ArchiveError(where, offset + len(data), f"the file ends within its {what}")
        offset += count
        return data

    def refuse(reason: str) -> ArchiveError:
        return ArchiveError(where, offset, reason)

    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise ArchiveError(where, 0, no_export(magic))
    offset = len(MAGIC)
    checksum.update(magic)
    while True:
        start = offset
        prefix = take(_size.size, "chunks")
        checksum.update(prefix)
        (count,) = _size.unpack(prefix)
        if count == 0:
            break
        if count > MAX_CHUNK_BYTES:
            raise ArchiveError(where, start, f"a chunk of {count:,} bytes: the file is damaged")
        packed = take(count, "chunks")
        checksum.update(packed)
        yield start, _unpack(decoder, packed, where, start)
    start = offset
    if take(checksum.digest_size, "checksum") != checksum.digest():
        raise ArchiveError(where, start, "the checksum is another: the file was altered")
    if file.read(1):
        raise refuse("something follows the end: the file was joined with another")


def _unpack(
    decoder: msgspec.msgpack.Decoder[list[Record]], packed: bytes, where: str, start: int
) -> list[Record]:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, MAX_CHUNK_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ArchiveError(where, start, "a chunk has another size than it says")
        return decoder.decode(raw)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(where, start, f"the chunk that begins there is damaged: {error}") from (
            error
        )
