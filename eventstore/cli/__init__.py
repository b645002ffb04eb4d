"""The command line: commands on the log, joined by those of other packages' manifests.

Importing this package is cheap, so that a signal which arrives while the rest is imported is
handled as well.
"""

import gc

from eventstore.cli import signals

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its status."""
    signals.install()
    from eventstore.cli.app import run_program  # noqa: PLC0415 - signals are handled from here on

    try:
        run_program()
    finally:
        # Python would look through all modules for garbage before it ends: 60 ms of a command.
        gc.freeze()
