"""An atomic directory that follows a log, and its clock."""

from support.atomic_directory import clock, filled, live

__all__ = ["clock", "filled", "live"]
