"""The command line, the outermost layer of all."""

from eventstore.cli.app import main

__all__ = ["main"]
