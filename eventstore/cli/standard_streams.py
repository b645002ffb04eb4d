"""stdin, stdout and stderr as files: closed ones, full ones, and waits that a signal ends."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO, Final

from eventstore.cli import signals
from eventstore.errors import EventStoreError

PIPE_BYTES: Final = 4096
"""What a pipe takes at once without blocking, once it is writable (Linux's PIPE_BUF)."""

FLAGS: Final = {"stdin": os.O_WRONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}
"""How the null device is opened in the place of a closed stream, in the order of descriptors."""


class StreamError(EventStoreError):
    """Stdin or stdout cannot be used; the message says why."""


def open_closed_streams() -> None:
    """Give closed standard streams a descriptor, so that no database gets number 0, 1 or 2.

    Reading stdin and writing stdout then fail as they do with closed ones; what goes to stderr
    is dropped.
    """
    for number, (name, flags) in enumerate(FLAGS.items()):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            buffered = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
            setattr(sys, name, io.TextIOWrapper(buffered))


def discard(stream: IO[str]) -> None:
    """Send what is buffered for a stream, and all that follows, nowhere."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def wait_for_reader(stream: IO[str]) -> None:
    """Wait until a stream can be written; raise StreamError where a signal has come first."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # It is no file, as in a test.
        return
    if not signals.wait_writable(descriptor):
        raise StreamError("interrupted while the reader of the output did not read")


class _Descriptor(io.RawIOBase):
    """A file of the system, which this object does not close."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor


class InterruptibleInput(_Descriptor):
    """A descriptor's bytes; a signal ends a read that waits for them."""

    def readable(self) -> bool:
        """Return True: this is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what there is into ``buffer``; return the number of bytes, 0 at the end."""
        if not signals.wait_readable(self._descriptor):
            raise StreamError("interrupted while waiting for stdin")
        try:
            read = os.read(self._descriptor, len(buffer))
        except OSError as error:
            raise StreamError(f"stdin cannot be read: {error.strerror}") from error
        buffer[: len(read)] = read
        return len(read)


class InterruptibleOutput(_Descriptor):
    """Bytes for a descriptor; a signal ends a write that waits for the reader of a pipe."""

    def writable(self) -> bool:
        """Return True: this is for writing."""
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Write the beginning of ``data``; return the number of bytes."""
        if not signals.wait_writable(self._descriptor):
            raise StreamError("interrupted while the reader of the output did not read")
        try:
            return os.write(self._descriptor, memoryview(data)[:PIPE_BYTES])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreamError(f"stdout cannot be written: {error.strerror}") from error
