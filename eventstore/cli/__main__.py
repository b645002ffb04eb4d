"""``python -m eventstore.cli``: the same as the ``eventstore`` command."""

from eventstore.cli import main

main()
