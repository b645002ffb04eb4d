"""One run of a command: settings in, its result out, a signal as an orderly end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.cli import output, signals
from eventstore.cli.outcome import conclude, interrupted_status
from eventstore.cli.output import Output
from eventstore.cli.times import print_in_utc
from eventstore.config import Settings, load_settings
from eventstore.errors import NoLogError, StorageError
from eventstore.system.event_loop import loop_caller
from eventstore.system.secret_url import show_place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.cli.options import Options
    from eventstore.log.upcasting import Upcasters
    from eventstore.store.event_store import EventStore

LOOK_SECONDS: Final = 0.2
"""Pause between two looks for a log that is not there yet."""


log = logging.getLogger("eventstore")


@dataclass(frozen=True, slots=True)
class Session:
    """A command's settings, its output, and the log that the settings name."""

    settings: Settings
    output: Output

    def open_store(self, *, create: bool = False, upcasters: Upcasters | None = None) -> EventStore:
        """Return the log that the settings name, to be entered with ``async with``.

        Entering raises NoLogError where there is none, unless ``create``: that is for commands
        whose job is to begin a log.
        """
        # Only the commands that open a log need a database.
        from eventstore.store.event_store import EventStore  # noqa: PLC0415

        return EventStore.open(
            self.settings.url, create=create, upcasters=upcasters, **self.store_options
        )

    @property
    def store_options(self) -> dict[str, Any]:
        """How the settings say that a log is opened, for EventStore.open and what calls it."""
        settings = self.settings
        return {
            "notify": settings.notify,
            "notify_keys": settings.notify_keys,
            "poll": settings.poll_seconds,
            "write_wait": settings.write_wait_seconds,
        }

    async def has_log(self) -> bool:
        """Return whether there is a log, or what stands in its place."""
        try:
            async with self.open_store():
                return True
        except NoLogError:
            return False

    async def wait_for_log(self, seconds: float) -> None:
        """Return once the log is there and can be opened.

        Raises NoLogError, or StorageError where its server cannot be reached, after so many
        seconds.
        """
        deadline = anyio.current_time() + seconds
        while True:
            try:
                async with self.open_store():
                    return
            except (NoLogError, StorageError) as error:
                lasting = isinstance(error, StorageError) and not error.transient
                if lasting or anyio.current_time() >= deadline:
                    raise
            await anyio.sleep(LOOK_SECONDS)


def run(
    options: Options,
    command: Callable[[Session], Awaitable[int | None]],
    *,
    follows: bool = False,
) -> int:
    """Run a command to its end, or until Ctrl-C or SIGTERM; return the exit status.

    A command returns its status, ``None`` for 0. A signal is how a command that ``follows``
    ends, with status 0; any other ends with 130 or 143. :func:`~eventstore.cli.outcome.conclude`
    says what errors become; wrong usage is raised.
    """
    output.show_log_records(
        verbose=options.verbose, json=options.json, log_format=options.log_format
    )
    print_in_utc(utc=options.utc)
    results: list[int | None] = []
    started = time.monotonic()
    try:
        settings = load_settings(options.config)
        if options.url is not None:
            settings = msgspec.structs.replace(settings, url=options.url)
        words = (*settings.notify_keys, settings.metrics.token)
        urls = (settings.url, settings.notify, settings.rules.report_url)
        output.hide_secrets(urls, words)
        log.info("the log is %s", show_place(settings.url))
        session = Session(settings, Output(options.json))
        anyio.run(_until_interrupted, command, session, results)
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
        if not results and not (follows and signals.received()):
            return conclude(error, json=options.json, verbose=options.verbose)
    log.info("ended after %.3f s", time.monotonic() - started)
    if results:
        return results[0] or 0
    return 0 if follows else interrupted_status()


async def _until_interrupted(
    command: Callable[[Session], Awaitable[int | None]],
    session: Session,
    results: list[int | None],
) -> None:
    call = loop_caller()
    with anyio.CancelScope() as scope:
        signals.on_interrupt(lambda: call(scope.cancel))
        results.append(await command(session))
