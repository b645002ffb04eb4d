"""Rules: files that engineers review become events, and engines follow them."""

from projections.rules.factory import SharedRuleStore, get_rule_store
from projections.rules.model import CompiledRule, RuleChange, RuleState
from projections.rules.replica import ReadOnlyError, RuleReplica
from projections.rules.replica_file import FeedError
from projections.rules.sources.scan import SourceError
from projections.rules.sources.sync import RuleSync, SyncReport
from projections.rules.store import RuleStore
from projections.rules.tables import RuleTables

__all__ = [
    "CompiledRule",
    "FeedError",
    "ReadOnlyError",
    "RuleChange",
    "RuleReplica",
    "RuleState",
    "RuleStore",
    "RuleSync",
    "RuleTables",
    "SharedRuleStore",
    "SourceError",
    "SyncReport",
    "get_rule_store",
]
