"""The directory of rule files: a projected directory that holds rules by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from projections.directory import projection
from projections.rules.rule_files import RULE_FILES

if TYPE_CHECKING:
    import os

    from projections.directory.content import DirectoryContent, Files


class DirectoryProjection(projection.DirectoryProjection):
    """Keeps a directory equal to the log's rules, or to what ``files`` gives instead.

    See :class:`projections.directory.DirectoryProjection`. A directory of rules also holds the
    replica file, ``.eventstore-rules``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        name: str = "directory",
        files: DirectoryContent | Files = RULE_FILES,
        on_error: Literal["set_aside", "stop"] = "set_aside",
        fsync: bool = True,
        atomic: bool | None = None,
        grace_seconds: float = projection.GRACE_SECONDS,
    ) -> None:
        super().__init__(
            root,
            name=name,
            files=files,
            on_error=on_error,
            fsync=fsync,
            journal=True,
            atomic=atomic,
            grace_seconds=grace_seconds,
        )
