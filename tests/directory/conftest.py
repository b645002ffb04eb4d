"""A log of rule files, and a directory that follows it."""

from support.live_directory import live, log, root

__all__ = ["live", "log", "root"]
