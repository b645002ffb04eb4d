"""Files of a source that are no rules by their names."""

from __future__ import annotations

from typing import NamedTuple


class IgnoredFile(NamedTuple):
    """A file that is no rule by its name, and why; a folder's path ends in ``/``."""

    path: str
    reason: str
