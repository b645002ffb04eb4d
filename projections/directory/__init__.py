"""A directory of files as a view of the log, and how to read it consistently."""

from projections.directory.manifest import (
    ForeignDirectoryError,
    ManifestError,
    UnsettledTreeError,
    read_tree,
)
from projections.directory.projection import DirectoryProjection

__all__ = [
    "DirectoryProjection",
    "ForeignDirectoryError",
    "ManifestError",
    "UnsettledTreeError",
    "read_tree",
]
