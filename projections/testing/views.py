"""What every table projection promises: a suite for those who write one, or a storage seam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from eventstore import EventStore
from eventstore.errors import HistoryGoneError, ViewNotKeptError
from eventstore.testing.clock import FakeClock
from projections.runner import ProjectionRunner
from projections.tables.backends import make_database
from projections.testing.replays import check_replays
from projections.testing.scenarios import as_writes, in_order, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from eventstore import Event
    from projections.tables.projection import TableProjection
    from projections.testing.scenarios import History

    MakeView: TypeAlias = Callable[[], TableProjection]
    Keep: TypeAlias = Callable[[Iterable[Event]], Iterable[int]]
    Rows: TypeAlias = dict[str, list[dict[str, Any]]]


class ViewContract:
    """Subclass it as ``class TestMine(ViewContract)``, with fixtures ``make_view`` and ``history``.

    ``make_view`` is the class of the projection, or a function that makes it anew. ``history`` are
    events that matter to it, as :func:`projections.testing.given` takes them. ``keep`` is what
    ``store.trim`` is told to keep, with ``serving``, for a projection with ``from_snapshot`` whose
    package declares no keeper. ``redacted`` are the
    places in the history, from 1 on, of events that are erased in some examples. ``examples`` is
    how many orders of deliveries are tried. Needs hypothesis.
    """

    redacted: Collection[int] = ()
    examples: int = 25

    @pytest.fixture
    def make_view(self) -> MakeView:
        """Give what makes the projection: to be overridden."""
        raise NotImplementedError("override the fixture make_view")

    @pytest.fixture
    def history(self) -> History:
        """Give events that matter to it: to be overridden."""
        raise NotImplementedError("override the fixture history")

    @pytest.fixture
    def keep(self) -> Keep | None:
        """Give what a trim is told to keep: to be overridden."""
        return None

    def test_its_rows_depend_on_the_log_alone(self, make_view: MakeView, history: History) -> None:
        """In any batches, over restarts, crashes, repetitions, rebuilds and redactions."""
        check_replays(make_view, history, redacted=self.redacted, examples=self.examples)

    def test_a_rebuild_and_a_build_give_the_rows_that_were_there(
        self, make_view: MakeView, history: History, tmp_path: Path
    ) -> None:
        """Inline, followed into another database, rebuilt there, and as a next version."""
        anyio.run(_rebuild, make_view, list(history), tmp_path)

    def test_a_trim_leaves_it_as_it_is_and_no_rebuild_is_wrong(
        self, make_view: MakeView, history: History, keep: Keep | None, tmp_path: Path
    ) -> None:
        """Computed from what was kept it has the same rows; a trim that keeps less says so."""
        anyio.run(_trim, make_view, list(history), keep, tmp_path)


async def _rebuild(make_view: MakeView, history: History, directory: Path) -> None:
    log, other = (f"sqlite:///{directory}/{name}.db" for name in ("log", "other"))
    view = make_view()
    async with _open(log, view) as store:
        await _append(store, history)
        wanted = _rows(log, view)
        for url in (other, log):
            await ProjectionRunner(store, make_view().at(url)).rebuild()
            assert _rows(url, view) == wanted, f"rebuilt in {url}"  # noqa: S101
        newer = make_view()
        newer.version += 1  # type: ignore[misc]  # Of this object alone.
        await store.swap_view(newer)
        assert _rows(log, view) == wanted, "built as a next version"  # noqa: S101


async def _trim(make_view: MakeView, history: History, keep: Keep | None, directory: Path) -> None:
    log, old, new = (f"sqlite:///{directory}/{name}.db" for name in ("log", "old", "new"))
    view = make_view()
    async with _open(log, view) as store:
        writes = as_writes(history)
        await _append(store, writes[: len(writes) // 2 + 1])
        await ProjectionRunner(store, make_view().at(old)).catch_up()
        before = (await store.head()).position + 1
        kept = await _keeps(store, before, view.name, keep, directory / "archive")
        await _append(store, writes[len(writes) // 2 + 1 :])
        wanted = _rows(log, view)
        await ProjectionRunner(store, make_view().at(old)).catch_up()
        assert _rows(old, view) == wanted, "followed over the trim"  # noqa: S101
        runner = ProjectionRunner(store, make_view().at(new))
        if view.from_snapshot and kept:
            await runner.catch_up()
            assert _rows(new, view) == wanted, "computed from what was kept"  # noqa: S101
        else:
            with pytest.raises(HistoryGoneError):
                await runner.catch_up()


async def _keeps(
    store: EventStore, before: int, view: str, keep: Keep | None, archive: Path
) -> bool:
    """Trim; return whether what is kept serves the view. A trim that does not names it first."""
    how: dict[str, Any] = {"archive": archive, **({} if keep is None else {"keep": keep})}
    try:
        await store.trim(before, **how)
    except ViewNotKeptError as refused:
        if refused.view != view:
            raise
        await store.trim(before, forgo_rebuild=[view], **how)
        return False
    return True


async def _append(store: EventStore, history: History) -> None:
    for write in as_writes(history):
        await store.append_many([write])


def _open(url: str, view: TableProjection) -> EventStore:
    return EventStore.open(url, inline=[view], clock=FakeClock(), notify="none")


def _rows(url: str, view: TableProjection) -> Rows:
    database = make_database(url)
    database.open()
    try:
        with database.transaction() as connection:
            return _ordered(read_rows(connection, view))
    finally:
        database.close()


def _ordered(rows: Mapping[str, list[dict[str, Any]]]) -> Rows:
    return {table: in_order(found) for table, found in rows.items()}
