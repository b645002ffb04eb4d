"""Running a command: settings in, errors out as one line, interruption as a clean end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import msgspec
import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eventstore.config import Settings, load_settings
from eventstore.errors import EventStoreError
from eventstore.store.event_store import EventStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from rich.table import Table

T = TypeVar("T")

PIPE_WIDTH: Final = 240
"""Columns of what is not printed on a terminal, so that nothing is cut off or broken."""

errors = Console(
    stderr=True,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stderr.isatty() else PIPE_WIDTH,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What every command takes, from before its name or after it."""

    url: str | None = None
    json: bool = False
    config: Path | None = None
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A command's settings and its way to speak."""

    settings: Settings
    json: bool

    def open_store(self) -> EventStore:
        """Name the log that the settings say, to be entered."""
        settings = self.settings
        return EventStore.open(
            settings.url,
            notify=settings.notify,
            notify_keys=settings.notify_keys,
            poll=settings.poll_seconds,
        )

    def say(self, text: str) -> None:
        """Print a line for people; nothing with ``--json``."""
        if not self.json:
            self._write(text)

    def show(self, value: Any, rendered: str | Table) -> None:
        """Print a value: as one line of JSON, or as people want it."""
        if self.json:
            self._write(to_json(value))
        elif isinstance(rendered, str):
            self._write(rendered)
        else:
            width = None if sys.stdout.isatty() else PIPE_WIDTH
            Console(highlight=False, width=width).print(rendered)

    def note(self, text: str) -> None:
        """Print a line for people on stderr, beside the output proper; nothing with ``--json``."""
        if not self.json:
            errors.print(text, markup=False)

    def _write(self, line: str) -> None:
        # Names from files may hold what a terminal would obey, or what has no UTF-8.
        shown = "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
        sys.stdout.write(shown + "\n")
        sys.stdout.flush()

    def progress(self, what: str) -> Progress:
        """Return a progress bar on stderr; it shows on a terminal only."""
        return Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
            disable=self.json or not errors.is_terminal,
        )


def to_json(value: Any) -> str:
    """Encode a value as one line of JSON; bytes become base64."""
    return msgspec.json.encode(value).decode()


def run(options: Options, command: Callable[[Session], Awaitable[T]]) -> T | None:
    """Run a command to its end, or until Ctrl-C or SIGTERM, which are a clean end as well.

    Returns what the command returned, ``None`` where it was interrupted. Exits with status 1
    and one line on stderr for any EventStoreError.
    """
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_path=False, show_time=False)],
        force=True,
    )
    # It warns of what it ignores on the way to an error, which is reported all the same.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    try:
        settings = load_settings(options.config)
        if options.url is not None:
            settings = msgspec.structs.replace(settings, url=options.url)
        results: list[T] = []
        anyio.run(_until_interrupted, command, Session(settings, options.json), results)
    except KeyboardInterrupt:
        return None
    except (EventStoreError, OSError, BaseExceptionGroup) as error:
        _fail(error)
        return None
    return results[0] if results else None


async def _until_interrupted(
    command: Callable[[Session], Awaitable[T]], session: Session, results: list[T]
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_on_signal, group.cancel_scope)
        results.append(await command(session))
        group.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


def _fail(error: BaseException) -> None:
    causes = list(_leaves(error))
    if all(isinstance(cause, BrokenPipeError) for cause in causes):
        # Whoever read our output has gone (``| head``); nothing is left to say.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not all(isinstance(cause, EventStoreError | OSError) for cause in causes):
        raise error
    errors.print(f"error: {causes[0]}", markup=False)
    raise typer.Exit(1)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
