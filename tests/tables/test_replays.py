"""The tables of every storage seam depend on the log alone, however its events are delivered."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.commands import REPOSITORY
from support.examples import examples
from support.uses import uses

from eventstore import EventStore, NewEvent
from projections.journal import Journal, JournalTables
from projections.memories import Domain, Memory, MemoryStore, Namespace
from projections.memories.tables import MemoryTables
from projections.registry import Registry, RegistryTables
from projections.rules import RuleState, RuleStore, RuleSync
from projections.rules.tables import RuleTables
from projections.rules.trim_policy import keep_rules
from projections.testing.views import ViewContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projections import TableProjection
    from projections.testing import History

pytestmark = pytest.mark.slow

EXAMPLES = examples(12)


async def use_registry(store: EventStore, url: str) -> None:
    registry = Registry(store)
    for number in range(3):
        await registry.register(f"b{number}", {"n": number})
    await registry.register("b1", {"n": [4]})
    await registry.unregister("b2")


async def use_journal(store: EventStore, url: str) -> None:
    journal = Journal(store)
    for name in ("p", "q"):
        await journal.upsert_project(name=name, repo_root="/r", progress_log_path=f"/r/{name}")
    await use_each(journal)


async def use_memories(store: EventStore, url: str) -> None:
    def use() -> None:
        with MemoryStore(url) as memories:
            for number in (1, 2, 1):
                memories.store(Memory(f"m-{number}", "x", Namespace.HELP, Domain(project="p")))
            memories.delete("m-2")

    await anyio.to_thread.run_sync(use)


async def use_rules(store: EventStore, url: str) -> None:
    await RuleSync(store, REPOSITORY / "config/rules/ttp", format="ttp").sync_once()
    for state in ("disabled", "enabled"):
        await RuleStore(store).set_state("R1001", RuleState(state), set_by="ana")


async def use_each(seam: Any) -> None:
    """Call each method of a seam that writes, but those that delete."""
    for name, use in uses(seam):
        if name.partition(".")[2].startswith(("insert", "record", "update", "upsert")):
            with suppress(ValueError, LookupError, TypeError):
                await use()


SEAMS: dict[str, tuple[Callable[..., Any], Callable[[], TableProjection]]] = {
    "registry": (use_registry, RegistryTables),
    "journal": (use_journal, JournalTables),
    "memories": (use_memories, MemoryTables),
    "rules": (use_rules, RuleTables),
}


async def history(use: Callable[..., Any], tables: Callable[[], Any], url: str) -> History:
    """Return what a seam has written, as events to append."""
    async with EventStore.open(url, inline=[tables()], notify="none") as store:
        await use(store, url)
        return [
            (event.stream, NewEvent(event.type, event.data, metadata=event.metadata))
            async for event in store.read()
        ]


class TestEverySeam(ViewContract):
    """Each seam's tables, by a history that the seam itself has written."""

    examples = EXAMPLES

    @pytest.fixture(params=SEAMS)
    def seam(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def make_view(self, seam: str) -> Callable[[], TableProjection]:
        return SEAMS[seam][1]

    @pytest.fixture
    def history(self, seam: str, tmp_path: Path) -> History:
        """Give what the seam has written, as events to append."""
        events = anyio.run(history, *SEAMS[seam], f"sqlite:///{tmp_path}/events.db")
        assert len(list(events)) >= 4
        return events

    @pytest.fixture
    def keep(self, seam: str) -> Any:
        return keep_rules if seam == "rules" else None
