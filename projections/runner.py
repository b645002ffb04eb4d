"""Runs projections: applies the log up to its head, and then each new commit."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from eventstore.errors import ConfigError
from eventstore.system.owners import Unpicklable
from projections._shared_pages import SharedPages
from projections._view_run import HEAL_SECONDS, Progress, ViewRun
from projections.protocol import check_runnable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from eventstore import Cursor, EventStore
    from projections.protocol import Projection

__all__ = ["HEAL_SECONDS", "Progress", "ProjectionRunner"]


class ProjectionRunner(Unpicklable):
    """Applies the log to projections: up to now, without an end, or from the first event.

    Several are fed by one read of the log. Each has its own cursor and its own fate: what one
    raises does not end the others, and is raised once they are done.

    A runner owns its projections only while one of its methods runs. It calls ``progress``
    after each batch. Every method raises ProjectionBusyError where another runner owns a
    projection, HistoryDivergedError where it was computed from another history, and
    ProjectionError where an event cannot be applied and the projection is set to stop.
    ProjectionVersionError says that the projection is of a newer version: only :meth:`rebuild`
    replaces it. Making a runner raises ConfigError for a projection that cannot be run, for none,
    and for two of one name.
    """

    def __init__(
        self,
        store: EventStore,
        *projections: Projection,
        progress: Progress | None = None,
        heal_seconds: float = HEAL_SECONDS,
    ) -> None:
        _check(projections)
        self._store = store
        self._stopped: dict[str, Exception] = {}
        pages = SharedPages(store.feed.page)
        turns: dict[Any, anyio.Lock] = {}
        self._runs = [
            ViewRun(store, one, pages.reader(), _turn_of(one, turns), progress, heal_seconds)
            for one in projections
        ]

    @property
    def trouble(self) -> str:
        """Why ``run`` is waiting to try again, or what has stopped; empty while all goes well.

        Of several projections it names each that is not well.
        """
        if len(self._runs) == 1:
            return self._runs[0].trouble
        return "; ".join(f"{run.name}: {run.trouble}" for run in self._runs if run.trouble)

    @property
    def stopped(self) -> Mapping[str, Exception]:
        """The projections that have stopped since ``run`` began, each with the error."""
        return dict(self._stopped)

    async def catch_up(self, until: int | None = None) -> Cursor:
        """Apply every commit that ends at or before ``until`` (default: the head), and heal.

        A projection that is already past ``until`` is rebuilt, so that it is always as of that
        commit. Returns its cursor; of several the one that is least far.
        """
        return await self._all(lambda run: run.catch_up(until))

    async def run(self, *, persist: bool = False) -> None:
        """Catch up, then apply each commit as it comes, and heal; until cancelled.

        Where the file system or a database fails, the projection is closed, and opened again
        from its checkpoint after a pause (:class:`~eventstore.system.backoff.Backoff`);
        ``trouble`` says why, and so does ``eventstore status`` in any process that reaches the
        log. ``persist`` does the same for errors of every other kind.
        An error before the projection was open for the first time is raised, unless it can pass
        by itself (a full disk, a server that restarts).

        One of several projections that is not tried again stops: ``stopped`` and ``status`` name
        it while the others go on. The error of the last one that stops is raised.
        """
        self._stopped.clear()
        if len(self._runs) == 1:
            await self._runs[0].run(persist=persist)
            return
        self._store.check_open()
        async with anyio.create_task_group() as tasks:
            for run in self._runs:
                run.pages.join()
                tasks.start_soon(self._run_one, run, persist, tasks.cancel_scope)
        raise next(reversed(self._stopped.values()))

    async def rebuild(self, until: int | None = None) -> Cursor:
        """Compute each projection again from the first event; readers see the old one until then.

        Where the beginning was trimmed a projection with ``from_snapshot`` starts with what
        trimming has kept; any other raises HistoryGoneError. Tables of a newer version are
        replaced as well.
        """
        return await self._all(lambda run: run.rebuild(until))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[], Awaitable[Cursor]]]:
        """Own the projections while entered; calling the result applies everything up to the head.

        For callers that have to wait until that is done. Entering, calls and leaving may be in
        different tasks, one after another.
        """
        async with AsyncExitStack() as stack:
            advances = [await stack.enter_async_context(run.held()) for run in self._runs]

            async def advance() -> Cursor:
                return _least([await one() for one in advances])

            yield advance

    async def _run_one(self, run: ViewRun, persist: bool, scope: anyio.CancelScope) -> None:
        def stopped(error: Exception) -> None:
            self._stopped[run.name] = error
            if len(self._stopped) == len(self._runs):
                scope.cancel()

        await run.run(persist=persist, stopped=stopped)

    async def _all(self, call: Callable[[ViewRun], Awaitable[Cursor]]) -> Cursor:
        """Call a method of each run; raise the first error once all of them have ended."""
        if len(self._runs) == 1:
            return await call(self._runs[0])
        reached: dict[int, Cursor] = {}
        errors: dict[int, Exception] = {}

        async def one(number: int, run: ViewRun) -> None:
            try:
                reached[number] = await call(run)
            except Exception as error:
                errors[number] = error

        async with anyio.create_task_group() as tasks:
            for number, run in enumerate(self._runs):
                run.pages.join()
                tasks.start_soon(one, number, run)
        if errors:
            raise errors[min(errors)]
        return _least(list(reached.values()))


def _least(cursors: list[Cursor]) -> Cursor:
    return min(cursors, key=lambda cursor: cursor.position)


def _turn_of(projection: Projection, turns: dict[Any, anyio.Lock]) -> anyio.Lock | None:
    """Return the turn at writing that projections in one place share, if they do."""
    if not getattr(projection, "one_writer", False):
        return None
    return turns.setdefault(getattr(projection, "place", None), anyio.Lock())


def _check(projections: tuple[Projection, ...]) -> None:
    if not projections:
        raise ConfigError("a ProjectionRunner needs a projection: give one or several")
    seen = set()
    for projection in projections:
        check_runnable(projection)
        if projection.name in seen:
            raise ConfigError(
                f"projection {projection.name!r} is given twice to one ProjectionRunner: give each "
                "another name, or a runner of its own"
            )
        seen.add(projection.name)
