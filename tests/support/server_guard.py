"""What removes a test's server even where the process that started it is killed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def start_guard(script: str, directory: Path, **settings: Any) -> subprocess.Popen[bytes]:
    """Start a shell script whose argument is the server's directory.

    It waits until its input is closed, by this process or by the end of it, and then removes the
    server. The settings are those of ``subprocess.Popen``.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "guard", str(directory)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **settings,
    )
