"""One rule store per log and process, for callers that neither open nor close it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventstore.store.event_store import EventStore
from projections.rules.loaded import Engine, LoadedRules
from projections.rules.replica import RuleReplica
from projections.rules.rule_types import OWN_TYPES, check_types
from projections.rules.service import RuleService
from projections.rules.sources.debounce import DebounceTimes
from projections.rules.sources.sync import RuleSync
from projections.seams.background_store import BackgroundChanges, BackgroundStore
from projections.seams.factory import Recipe, StoreFactory
from projections.seams.log_urls import absolute_url, url_beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from datetime import datetime

    from eventstore import Event
    from eventstore.config import Settings
    from projections.rules.differences import RuleDifference
    from projections.rules.given_states import RuleStateLike
    from projections.rules.loaded_report import LoadedReport
    from projections.rules.model import CompiledRule, RuleChange, RuleState
    from projections.rules.rule_types import RuleTypes

T = TypeVar("T")


class SharedRuleStore:
    """A :class:`~projections.rules.RuleStore` that opens itself; see :func:`get_rule_store`.

    Every method may be called in any event loop, asyncio's or trio's, one after another
    or at the same time. Cancelling a caller ends nothing but its own wait.
    """

    def __init__(
        self, make_log: Callable[[], EventStore], make_sync: Callable[[EventStore], RuleSync] | None
    ) -> None:
        self._service = BackgroundStore(partial(RuleService, make_log, make_sync), "the rule store")
        self._types = OWN_TYPES
        self._loaded = LoadedRules(OWN_TYPES)
        self._typed: dict[RuleTypes, SharedRuleStore] = {}

    def _with_types(self, types: RuleTypes) -> SharedRuleStore:
        """Return this store for callers with classes of their own: one log, whatever the types."""
        if types == self._types:
            return self
        typed = SharedRuleStore.__new__(SharedRuleStore)
        typed._service, typed._types, typed._typed = self._service, types, {}  # noqa: SLF001
        typed._loaded = LoadedRules(types)  # noqa: SLF001
        return self._typed.setdefault(types, typed)

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule that stands, by id, with its current state stamped on.

        Waits until the directory has been looked at once. While it is missing, the rules that the
        log knows from before still stand, none where it knows none; ``eventstore status`` says
        why. Raises SourceError where it cannot be taken otherwise and the log knows no rules.
        """
        return self._types.build_rules(await self._service.call(RuleService.load_compiled))

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's current state: the default for an unknown id or an expired state."""
        found = await self._service.call(lambda service: service.rules.get_state(rule_id))
        state: RuleState = self._types.build_state(found)
        return state

    async def set_state(self, rule_id: str, state: RuleStateLike, set_by: str) -> None:
        """Set a rule's state, stamped with who and when; the rule need not exist yet.

        Raises what :meth:`RuleStore.set_state <projections.rules.RuleStore.set_state>`
        raises.
        """
        return await self._service.call(
            lambda service: service.rules.set_state(rule_id, state, set_by)
        )

    async def revert(
        self, target: str, to: int | datetime | str, *, by: str, reason: str = ""
    ) -> list[RuleDifference]:
        """Restore a rule, a source or a stream as of a moment.

        Does and raises what :meth:`RuleStore.revert <projections.rules.RuleStore.revert>` does.
        """
        return await self._service.call(
            lambda service: service.rules.revert(target, to, by=by, reason=reason)
        )

    async def report_loaded(
        self,
        loaded: Iterable[Any],
        *,
        rejected: Mapping[str, object] | None = None,
        engine: str = "",
        version: str = "",
        worker: str | None = None,
    ) -> LoadedReport:
        """Tell the log which rules this worker runs.

        Does and raises what :meth:`RuleStore.report_loaded
        <projections.rules.RuleStore.report_loaded>` does.
        """
        given, reasons = list(loaded), dict(rejected or {})

        async def report(service: RuleService) -> LoadedReport:
            who = Engine(engine, version, service.owner)
            return await service.rules._report(self._loaded, given, reasons, who, worker)  # noqa: SLF001

        return await self._service.call(report)

    async def change_of(self, event: Event) -> RuleChange | None:
        """Return what a logged event means for an engine; ``None`` for nothing."""
        change = await self._service.call(lambda service: service.rules.change_of(event))
        return None if change is None else self._types.build_change(change)

    def subscribe_changes(self) -> AsyncIterator[RuleChange]:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet. Where nothing
        is open yet, this opens the log before it returns.
        """
        return self._follow(
            lambda service: service.rules.subscribe_changes(), self._types.build_change
        )

    def subscribe_commits(self) -> AsyncIterator[list[RuleChange]]:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return self._follow(
            lambda service: service.rules.subscribe_commits(), self._types.build_commit
        )

    def _follow(
        self, subscribe: Callable[[RuleService], Any], build: Callable[[Any], T]
    ) -> BackgroundChanges[T]:
        async def subscribed(service: RuleService) -> Any:
            return subscribe(service)

        return self._service.follow(subscribed, build)


def get_rule_store(*, types: RuleTypes | None = None) -> SharedRuleStore | RuleReplica:
    """Return the rule store that the settings choose, without entering or closing it.

    ``EVENTSTORE_RULE_STORE_TYPE`` is ``filesystem`` (the default: the rules directory
    ``EVENTSTORE_RULES_DIR`` of this host, with its log in a file beside it) or
    ``database`` (the log at ``EVENTSTORE_URL``, which a master syncs files into), or
    ``replica``, which only reads (``EVENTSTORE_RULES_DIR`` is a projected directory). It may
    be called on every request and from any event loop: one log per URL or directory and
    process is opened at its first use, does its background work in a thread of its own,
    and is closed with the process. ``types`` are the classes that it builds, in place of ours:
    stores with other types share the log. Raises ConfigError, a ValueError, for a setting that is
    not known and for types that cannot be built.
    """
    checked = check_types(types)
    return _factory.get()._with_types(checked)  # noqa: SLF001


def _from_database(settings: Settings) -> Recipe[SharedRuleStore | RuleReplica]:
    url = absolute_url(settings.url)
    make_log = partial(EventStore.open, url, notify=settings.notify, poll=settings.poll_seconds)
    make_log()  # Names what is wrong with a URL at once; nothing is opened.
    return Recipe(("database", url), lambda: SharedRuleStore(make_log, None))


def _from_directory(settings: Settings) -> Recipe[SharedRuleStore | RuleReplica]:
    root, url = url_beside("EVENTSTORE_RULES_DIR", settings.rules.dir)
    make_log = partial(EventStore.open, url, notify=settings.notify, poll=settings.poll_seconds)
    rules = settings.rules

    def make_sync(store: EventStore) -> RuleSync:
        return RuleSync(
            store,
            root,
            format=rules.format,
            # Named like its log, so that the two can be moved together.
            source=rules.source or root.name,
            max_bytes=rules.max_bytes,
            allow_empty=rules.allow_empty,
            debounce=DebounceTimes(rules.settle_seconds, rules.hasty_settle_seconds),
            rescan_seconds=rules.rescan_seconds,
        )

    make_sync(make_log())  # Names an unknown format, or a log within the directory, at once.
    key = "filesystem", root, rules.format
    return Recipe(key, lambda: SharedRuleStore(make_log, make_sync))


def _from_replica(settings: Settings) -> Recipe[SharedRuleStore | RuleReplica]:
    root = Path(settings.rules.dir).expanduser().absolute()
    poll = settings.poll_seconds
    tell = settings.rules.report_url or None
    return Recipe(("replica", root), lambda: RuleReplica(root, poll=poll, report_to=tell))


_factory: Final = StoreFactory[SharedRuleStore | RuleReplica](
    "rule_store_type",
    {"filesystem": _from_directory, "database": _from_database, "replica": _from_replica},
)
