"""URLs of logs that stay valid when the working directory changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from eventstore.errors import ConfigError
from eventstore.storage.sqlite.paths import log_file

LOG_SUFFIX: Final = ".eventstore.db"
"""The log of the directory ``rules`` is ``rules.eventstore.db``, beside it."""


def absolute_url(url: str) -> str:
    """Return a log's URL with the path of a file made absolute."""
    path = log_file(url)
    return url if path is None else f"sqlite:///{path}"


def url_beside(variable: str, directory: str) -> tuple[Path, str]:
    """Return a directory made absolute, and the URL of the log in a file beside it.

    Raises ConfigError, naming the variable, where no log can be named there.
    """
    # Symbolic links are not resolved: a link that moves to another release keeps its log.
    root = Path(os.path.abspath(Path(directory).expanduser()))  # noqa: PTH100
    log = root.with_name(root.name + LOG_SUFFIX) if root.name else None
    if log is None or "?" in str(log):
        raise ConfigError(f"{variable} {str(root)!r}: no log can be named beside it")
    return root, f"sqlite:///{log}"
