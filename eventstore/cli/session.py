"""One run of a command: settings in, errors out as one line, interruption as a clean end."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import msgspec

from eventstore.cli import output
from eventstore.cli.options import USAGE_ERROR
from eventstore.cli.output import Output
from eventstore.config import Settings, load_settings
from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from eventstore.cli.options import Options
    from eventstore.store.event_store import EventStore


@dataclass(frozen=True, slots=True)
class Session:
    """A command's settings, its output, and the log that the settings name."""

    settings: Settings
    output: Output

    def open_store(self, *, create: bool = False) -> EventStore:
        """Return the log that the settings name, to be entered with ``async with``.

        Entering raises NoLogError where there is none, unless ``create``: that is for commands
        whose job is to begin a log.
        """
        # Only the commands that open a log need a database.
        from eventstore.store.event_store import EventStore  # noqa: PLC0415

        settings = self.settings
        return EventStore.open(
            settings.url,
            notify=settings.notify,
            notify_keys=settings.notify_keys,
            poll=settings.poll_seconds,
            create=create,
        )


def run(
    options: Options,
    command: Callable[[Session], Awaitable[int | None]],
    *,
    interrupted: int = 0,
) -> int:
    """Run a command to its end, or until Ctrl-C or SIGTERM; return the exit status.

    A command returns its status, ``None`` for 0. ``interrupted`` is the status after a signal.
    An EventStoreError or OSError is one line on stderr and status 1; wrong usage is raised.
    """
    output.show_log_records(verbose=options.verbose)
    results: list[int | None] = []
    try:
        settings = load_settings(options.config)
        if options.url is not None:
            settings = msgspec.structs.replace(settings, url=options.url)
        session = Session(settings, Output(options.json))
        anyio.run(_until_interrupted, command, session, results)
    except KeyboardInterrupt:
        return interrupted
    except (EventStoreError, OSError, BaseExceptionGroup, USAGE_ERROR) as error:
        return _fail(error)
    return (results[0] or 0) if results else interrupted


async def _until_interrupted(
    command: Callable[[Session], Awaitable[int | None]],
    session: Session,
    results: list[int | None],
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


def _fail(error: BaseException) -> int:
    causes = list(_leaves(error))
    if all(isinstance(cause, BrokenPipeError) for cause in causes):
        # The reader of the output has gone (``| head``): that is no failure.
        output.discard_stdout()
        return 0
    for cause in causes:
        if isinstance(cause, USAGE_ERROR):
            raise cause
    if not all(isinstance(cause, EventStoreError | OSError) for cause in causes):
        raise error
    output.write_error(str(causes[0]))
    return 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
