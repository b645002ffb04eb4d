"""What the tests' process has open."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def open_files() -> dict[int, str]:
    """Return the name of what each descriptor of this process leads to."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # Closed meanwhile, as the one of this listing is.
            found[int(entry.name)] = str(entry.readlink())
    return found


def open_below(path: Path) -> list[str]:
    """Return what this process has open whose name begins with a path, once for each descriptor."""
    return sorted(name for name in open_files().values() if name.startswith(str(path)))
