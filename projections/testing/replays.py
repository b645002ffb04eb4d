"""The same rows, however events are delivered: in any batches, over restarts, again, and anew.

What a runner does to a projection is done here in an order that hypothesis chooses: batches of
any size, transactions that fail before they commit, batches that are delivered again, programs
that end and go on, rebuilds that are finished or dropped, and newer versions that begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import count, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import ConfigError
from eventstore.log.events import Cursor
from eventstore.sync import EventStore
from eventstore.system.extras import needs_extra
from eventstore.testing.clock import FakeClock
from projections.protocol import OutdatedViewError
from projections.tables.backends import make_database
from projections.testing.scenarios import as_writes, in_order, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from eventstore.log.events import Event
    from projections.tables.followed import FollowedTables
    from projections.tables.projection import TableProjection
    from projections.testing.scenarios import History

MOST_STEPS: Final = 6
"""Steps of one example; what is left of the events is delivered after them."""

FILES: Final = "/dev/shm"  # noqa: S108 - a directory of random name is made in it
"""Where the files of examples are, if it is there: in memory, because there are many of them."""


class Do(Enum):
    """What happens to a projection between two batches."""

    APPLY = "apply the next commits"
    CRASH = "apply the next commits, and fail before they are committed"
    REPEAT = "deliver the last batch again"
    RESTART = "end the program, and start it again"
    REBUILD = "compute the tables again from the first event"
    DROP = "begin to compute them again, and end the program"
    REDACT = "erase the events that are to be redacted, for good"
    NEW_VERSION = "start a program with a newer version"

    def __repr__(self) -> str:
        return f"Do.{self.name}"


@dataclass(frozen=True)
class Step:
    """One step; ``commits`` is how many commits a batch has."""

    do: Do
    commits: int = 1


class _CrashError(BaseException):
    """Ends a transaction as the end of a process does: nothing of it is committed."""


def check_replays(
    make: Callable[[], TableProjection],
    events: History,
    *,
    earlier: Callable[[], TableProjection] | None = None,
    redacted: Collection[int] = (),
    url: Callable[[], str] | None = None,
    examples: int = 25,
) -> None:
    """Fail unless a projection has the same rows however the events are delivered.

    ``make`` returns the projection anew, as each start of a program does. ``earlier`` returns an
    earlier version of it, with whose tables each example then begins. ``redacted`` are places in
    the log, from 1 on: in each example these events are erased at some time, after they were
    applied or before, and at the end the rows have to be those that a projection has that never
    saw them. ``url`` names a database
    that has no tables yet, one for each of ``examples``; by default each is a SQLite file of its
    own. The rows that are demanded are those of an inline projection that is given the events one
    commit after the other. Needs hypothesis, which shows the shortest steps that lead to others.
    """
    with needs_extra("testing", "check_replays"):
        from hypothesis import HealthCheck, given, settings  # noqa: PLC0415 - not all have it
        from hypothesis import strategies as st  # noqa: PLC0415

    log_id, commits, erased, wanted = _log_of(make, events, redacted)
    left_out = {Do.NEW_VERSION} if earlier is not None else set()
    left_out |= set() if redacted else {Do.REDACT}
    kinds = [do for do in Do if do not in left_out]
    step = st.builds(Step, st.sampled_from(kinds), st.integers(1, min(3, len(commits))))

    memory = FILES if Path(FILES).is_dir() else None
    with TemporaryDirectory(prefix="check-replays-", dir=memory) as directory:
        files = (f"sqlite:///{Path(directory)}/{number}.db" for number in count())

        def check(steps: list[Step]) -> None:
            place = next(files) if url is None else url()
            replay = _Replay(make, earlier, place, log_id, commits, erased)
            found = replay.run(steps)
            assert found == wanted, f"the rows are {found}, not {wanted}"  # noqa: S101

        searched = given(steps=st.lists(step, max_size=MOST_STEPS))(check)
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(searched)()


def _log_of(
    make: Callable[[], TableProjection], events: History, redacted: Collection[int]
) -> tuple[str, list[list[Event]], list[list[Event]], dict[str, Any]]:
    """Return a log's id, its commits, these with events erased, and the rows of an inline view.

    The rows are those of the erased log.
    """
    projection = make()
    with EventStore.open(
        "memory://", inline=[projection], clock=FakeClock(), notify="none"
    ) as store:
        for write in as_writes(events):
            store.append_many([write])
        commits = _commits(store)
        if not commits:
            raise ConfigError("check_replays is given no events: give it some that matter")
        for position in redacted:
            store.redact(position, reason="check_replays", by="check_replays")
        rows = store.query(lambda connection, _: read_rows(connection, projection))
        return store.head().log_id, commits, _commits(store), _sorted(rows)


def _commits(store: EventStore) -> list[list[Event]]:
    return [list(events) for _, events in groupby(store.read(), key=lambda event: event.commit)]


def _sorted(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {table: in_order(found) for table, found in rows.items()}


class _Replay:
    """One projection in one database, and the program that follows the log for it."""

    def __init__(
        self,
        make: Callable[[], TableProjection],
        earlier: Callable[[], TableProjection] | None,
        url: str,
        log_id: str,
        commits: Sequence[Sequence[Event]],
        erased: Sequence[Sequence[Event]],
    ) -> None:
        self._make = make
        self._url = url
        self._log_id = log_id
        self._commits = commits
        self._erased = erased
        self._newer = 0
        self._crashing = False
        self._start(make if earlier is None else earlier)
        if earlier is not None:
            self._deliver(len(commits) // 2 + 1)
            self._restart()

    def run(self, steps: Sequence[Step]) -> dict[str, Any]:
        """Do the steps, deliver what is left, and return the rows."""
        try:
            for step in steps:
                self._do(step)
            self._commits = self._erased
            self._deliver(len(self._commits))
        finally:
            self._followed.close()
        return self._rows()

    def _do(self, step: Step) -> None:
        if step.do is Do.APPLY:
            self._deliver(step.commits)
        elif step.do is Do.CRASH:
            self._crash(step.commits)
        elif step.do is Do.REPEAT:
            if self._last is not None:
                self._followed.apply(*self._last)
        elif step.do is Do.REDACT:
            self._commits = self._erased
        elif step.do is Do.REBUILD:
            self._rebuild(step.commits)
        elif step.do is Do.DROP:
            self._followed.begin_rebuild()
            self._apply(0, step.commits)
            self._restart()
        else:
            self._newer += step.do is Do.NEW_VERSION
            self._restart()

    def _start(self, make: Callable[[], TableProjection]) -> None:
        projection = make()
        if self._newer:
            projection.version += self._newer  # type: ignore[misc]  # Of this object alone.
        apply = projection.apply

        def apply_or_crash(connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
            apply(connection, events, cursor)
            if self._crashing:
                raise _CrashError

        projection.apply = apply_or_crash  # type: ignore[method-assign]
        self._projection = projection
        self._followed: FollowedTables = projection.at(self._url)
        self._last: tuple[Sequence[Event], Cursor] | None = None
        cursor = self._followed.open(self._log_id)
        reached = 0 if cursor is None else cursor.position
        self._done = sum(commit[-1].position <= reached for commit in self._commits)
        if self._followed.outdated:
            self._rebuild(1)

    def _restart(self) -> None:
        self._followed.close()
        self._start(self._make)

    def _crash(self, commits: int) -> None:
        self._crashing = True
        try:
            self._deliver(commits)
        except _CrashError:
            self._crashing = False
            self._restart()
        self._crashing = False

    def _deliver(self, commits: int) -> None:
        self._done = self._apply(self._done, commits)

    def _apply(self, done: int, commits: int) -> int:
        """Apply so many commits after the first ``done``; return how many are applied then."""
        batch = [event for commit in self._commits[done : done + commits] for event in commit]
        if batch:
            self._last = batch, Cursor(self._log_id, batch[-1].position, batch[-1].hash)
            try:
                self._followed.apply(*self._last)
            except OutdatedViewError:  # A redaction has emptied it: as a runner does.
                self._rebuild(commits, min(done + commits, len(self._commits)))
        return min(done + commits, len(self._commits))

    def _rebuild(self, commits: int, until: int | None = None) -> None:
        """Compute the tables again, in batches of so many commits, as far as they were."""
        until = self._done if until is None else until
        self._followed.begin_rebuild()
        self._done = 0
        while self._done < until:
            self._done = self._apply(self._done, min(commits, until - self._done))
        self._followed.finish_rebuild()
        self._last = None

    def _rows(self) -> dict[str, Any]:
        database = make_database(self._url)
        database.open()
        try:
            with database.transaction() as connection:
                return _sorted(read_rows(connection, self._projection))
        finally:
            database.close()
