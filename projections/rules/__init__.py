"""Rules: files that engineers review become events, and engines follow them."""

from projections.rules.feed import FeedError
from projections.rules.model import CompiledRule, RuleChange, RuleState
from projections.rules.replica import ReadOnlyError, RuleReplica
from projections.rules.scan import SourceError
from projections.rules.shared import SharedRuleStore, get_rule_store
from projections.rules.store import RuleStore
from projections.rules.sync import RuleSync, SyncReport
from projections.rules.views import RuleTables

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
