"""Logs that earlier versions wrote, unpacked into copies, with what they say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

OLD_LOGS: Final = Path(__file__).parents[1] / "data" / "logs"

NAMES: Final = sorted(path.name.removesuffix(".db.gz") for path in OLD_LOGS.glob("*.db.gz"))
"""Every log that is kept; see the README beside them."""


class OldLog(NamedTuple):
    """A copy of an old log: its file, and what it says as the file beside it tells."""

    path: Path
    said: dict[str, Any]

    @property
    def url(self) -> str:
        """Name the copy as a URL."""
        return f"sqlite:///{self.path}"

    def clock(self) -> int:
        """Return the time at which the log said what is expected."""
        now: int = self.said["now_us"]
        return now


def copy_old_log(name: str, directory: Path) -> OldLog:
    """Unpack a log into a directory."""
    path = directory / f"{name}.db"
    path.write_bytes(gzip.decompress((OLD_LOGS / f"{name}.db.gz").read_bytes()))
    return OldLog(path, json.loads((OLD_LOGS / f"{name}.json").read_text()))
