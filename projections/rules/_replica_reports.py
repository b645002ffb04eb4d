"""What a worker tells that has rules from a directory alone: compared here, told by a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.errors import ConfigError
from eventstore.store.event_store import EventStore
from projections.rules._replica_fold import NOTHING
from projections.rules.loaded import Engine, LoadedRules
from projections.rules.loaded_report import LoadedReport, encode_report
from projections.rules.model import CompiledRule, RuleState, decode_rule
from projections.rules.rule_set import UNKNOWN_SHA, Intended, RuleEntry, state_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from projections.rules._replica_fold import Standing
    from projections.rules.replica_file import ReplicaFile
    from projections.rules.rule_types import RuleTypes

NO_WAY: Final = (
    "this replica has no way to tell what is loaded: give it report_to, or EVENTSTORE_RULES_REPORT_"
    "URL, with the URL of a server (https://TOKEN@HOST, a token of the scopes read and ack)"
)


class _Where(msgspec.Struct):
    """Where a rule was defined, and its file's hash; a replica of an earlier version lacks both."""

    position: int = 0
    sha256: str | None = None


class ReplicaReports:
    """Compares what an engine runs with a replica, and tells it to the log at ``url``."""

    def __init__(self, types: RuleTypes, url: str | None) -> None:
        self.url = url
        self._loaded = LoadedRules(types)
        self._known: dict[str, tuple[int, _Where]] = {}

    async def tell(
        self,
        file: ReplicaFile,
        state_of: Callable[[str], RuleState],
        loaded: Iterable[Any],
        rejected: Mapping[str, object],
        who: tuple[str, str],
        worker: str | None,
        now: datetime,
    ) -> LoadedReport:
        """Tell it, compared with what the replica has; raise ConfigError where there is no way."""
        if self.url is None:
            raise ConfigError(NO_WAY)
        intended, complete = self._intended(file, state_of, now)

        def rule_of(rule_id: str) -> CompiledRule | None:
            one = file.rules.get(rule_id)
            return None if one is None else decode_rule(msgspec.json.decode(one.value))

        async with EventStore.open(self.url, create=False, notify="none") as log:
            report = self._loaded.report(
                intended, rule_of, loaded, rejected, Engine(*who, log.owner), now
            )
            if not complete:
                report = msgspec.structs.replace(report, hash="")
            await log.store_report(worker or log.owner, encode_report(report))
        return report

    def _intended(
        self, file: ReplicaFile, state_of: Callable[[str], RuleState], now: datetime
    ) -> tuple[Intended, bool]:
        """Return the replica's set, and whether it says where each rule was defined."""
        known = {
            rule_id: self._where(rule_id, one)
            for rule_id, one in file.rules.items()
            if one.value != NOTHING
        }
        self._known = known
        rules = {
            rule_id: RuleEntry(
                where.sha256 or UNKNOWN_SHA, where.position, state_word(state_of(rule_id), now)
            )
            for rule_id, (_, where) in known.items()
        }
        complete = all(where.position for _, where in known.values())
        return Intended(file.position, 0, rules), complete

    def _where(self, rule_id: str, one: Standing) -> tuple[int, _Where]:
        known = self._known.get(rule_id)
        if known is not None and known[0] == one.position:
            return known
        return one.position, msgspec.json.decode(one.value, type=_Where)
