"""Changes below a directory, by watchfiles: the only module that uses it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from watchfiles import Change, watch

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path


def changes(
    directory: Path, *, step_ms: int, check_ms: int, stop: threading.Event, recursive: bool
) -> Iterator[set[tuple[Change, str]]]:
    """Give each set of changes, and an empty one every ``check_ms`` without any, until ``stop``.

    Raises what watchfiles does: OSError and others where limits, names or mounts are in the way.
    """
    return watch(
        directory,
        watch_filter=None,
        step=step_ms,
        debounce=4 * step_ms,
        rust_timeout=check_ms,
        yield_on_timeout=True,
        stop_event=stop,
        recursive=recursive,
        raise_interrupt=False,
    )


def is_removed(directory: Path, found: set[tuple[Change, str]]) -> bool:
    """Return whether the directory itself was removed."""
    return (Change.deleted, str(directory)) in found


def check_limits(found: set[tuple[Change, str]]) -> None:
    """Raise where a directory that was just made may not be watched.

    An exhausted limit makes a new watch fail, but a recursive watch ignores it for directories
    made later. So a probe watches one of them: it raises where the limit is exhausted. Among many
    directories at once the probe may still find a free place.
    """
    for change, path in found:
        if change is Change.added and os.path.isdir(path):  # noqa: PTH112 - it may be no UTF-8
            with suppress(FileNotFoundError):
                probe = watch(path, recursive=False, rust_timeout=1, yield_on_timeout=True)
                next(probe)
                probe.close()
            return
