"""A directory of files as a projection of the log, and how to read it consistently.

What the events mean is an object that the projection is given; see DirectoryContent.
"""

from projections.directory.content import DirectoryContent, FileChange
from projections.directory.manifest import (
    ForeignDirectoryError,
    ManifestError,
    UnsettledTreeError,
    read_tree,
)
from projections.directory.projection import DirectoryProjection

__all__ = [
    "DirectoryContent",
    "DirectoryProjection",
    "FileChange",
    "ForeignDirectoryError",
    "ManifestError",
    "UnsettledTreeError",
    "read_tree",
]
