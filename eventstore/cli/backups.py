"""``backup`` and ``restore``: the file of a SQLite log, copied and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventstore.cli.options import Replace
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.store.event_store import EventStore
from eventstore.system.secret_url import show_place


async def backup(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    replace: Replace = False,
) -> None:
    """Copy a log's SQLite file, its tables included, while writers go on."""
    async with session.open_store() as store:
        with session.output.progress("copying", "pages") as progress:
            position = await store.backup(file, replace=replace, progress=progress)
    session.output.value(
        {"file": without_secrets(str(file)), "position": position},
        f"{file} is at position {position}",
    )


async def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(help="A file made by backup.")],
    *,
    replace: Replace = False,
) -> None:
    """Put a backup in the log's place; consumers that are ahead of it get an error."""
    url = session.settings.url
    with session.output.progress("restoring", "pages") as progress:
        position = await EventStore.restore(file, url, replace=replace, progress=progress)
    place = show_place(url)
    session.output.value(
        {"url": place, "position": position}, f"{place} is at position {position} again"
    )
