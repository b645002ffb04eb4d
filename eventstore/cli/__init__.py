"""The command line: commands on the log, joined by those of other packages' manifests."""

from eventstore.cli.app import main

__all__ = ["main"]
