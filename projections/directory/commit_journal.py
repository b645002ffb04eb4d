"""The file that continues a published manifest and its companion: one line for each commit.

A line is a checksum, a space and JSON. The checksum is the SHA-256 of the checksum before it and
the JSON, so that each line vouches for all before it. The first line names the two files that the
others continue, by their checksums. Lines count as far as they are whole: a journal that is torn,
cut short or changed is one that ends earlier, and one of other files is none.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from projections.directory.content import Line
from projections.directory.file_changes import check_path
from projections.directory.path_claims import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL: Final = f"{PRIVATE}-journal"

FORMAT: Final = 1
_DIGEST: Final = 64


class _First(msgspec.Struct):
    format: int
    manifest: str
    companion: str


class Journal(NamedTuple):
    """A journal as far as it is whole: the checksums of what it continues, and its lines."""

    manifest: str
    companion: str
    lines: list[Line]

    def lines_after(self, *, manifest: bytes) -> list[Line]:
        """Return the lines, if they continue this manifest."""
        return self.lines if sha256(manifest).hexdigest() == self.manifest else []


_ENCODER: Final = msgspec.json.Encoder()
_FIRST: Final = msgspec.json.Decoder(_First)
_LINE: Final = msgspec.json.Decoder(Line)


def first_line(manifest: bytes, companion: str) -> bytes:
    """Return the first line of a journal; ``companion`` is a checksum, empty without one."""
    return _line(b"", _ENCODER.encode(_First(FORMAT, sha256(manifest).hexdigest(), companion)))


def next_line(journal: bytes, line: Line) -> bytes:
    """Return the line that follows a whole journal."""
    start = journal.rfind(b"\n", 0, -1) + 1
    return _line(journal[start : start + _DIGEST], _ENCODER.encode(line))


def decode(raw: bytes | None) -> Journal | None:
    """Read a journal as far as it is whole; None where there is none that this version knows."""
    bodies = _bodies(raw or b"")
    try:
        first = _FIRST.decode(next(bodies, b""))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if first.format != FORMAT:
        return None
    return Journal(first.manifest, first.companion, list(_lines(bodies)))


def _lines(bodies: Iterator[bytes]) -> Iterator[Line]:
    position = -1
    for body in bodies:
        try:
            line = _LINE.decode(body)
            bytes.fromhex(line.hash)
            for path in line.files:
                check_path(path)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if line.position <= position:
            return
        position = line.position
        yield line


def _bodies(raw: bytes) -> Iterator[bytes]:
    before = b""
    *lines, _torn = raw.split(b"\n")
    for line in lines:
        body = line[_DIGEST + 1 :]
        if line != _line(before, body)[:-1]:
            return
        yield body
        before = line[:_DIGEST]


def _line(before: bytes, body: bytes) -> bytes:
    return b"%s %s\n" % (sha256(before + body).hexdigest().encode(), body)
