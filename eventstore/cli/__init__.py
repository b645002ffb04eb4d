"""The command line, the outermost layer of all."""

from eventstore.cli import archiving
from eventstore.cli.app import main

__all__ = ["archiving", "main"]
