"""Rules: files that engineers review become events, and engines follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from projections.rules.factory import SharedRuleStore, get_rule_store
    from projections.rules.given_states import RuleStateLike
    from projections.rules.kept_rules import KeptRules, keep_rules
    from projections.rules.loaded_report import LoadedReport
    from projections.rules.model import CompiledRule, RuleChange, RuleState
    from projections.rules.protocol import RuleStoreProtocol
    from projections.rules.replica import ReadOnlyError, RuleReplica
    from projections.rules.replica_file import FeedError, ReplicaFileError
    from projections.rules.reporter import LoadedReporter
    from projections.rules.rule_types import RuleTypes
    from projections.rules.sources.git_lock import GitLockError
    from projections.rules.sources.renaming import SourceNameError, rename_source
    from projections.rules.sources.source_error import SourceError
    from projections.rules.sources.sync import RuleSync, sync_together
    from projections.rules.sources.sync_report import SyncReport
    from projections.rules.store import RuleStore
    from projections.rules.tables import RuleTables

__all__ = [
    "CompiledRule",
    "FeedError",
    "GitLockError",
    "KeptRules",
    "LoadedReport",
    "LoadedReporter",
    "ReadOnlyError",
    "ReplicaFileError",
    "RuleChange",
    "RuleReplica",
    "RuleState",
    "RuleStateLike",
    "RuleStore",
    "RuleStoreProtocol",
    "RuleSync",
    "RuleTables",
    "RuleTypes",
    "SharedRuleStore",
    "SourceError",
    "SourceNameError",
    "SyncReport",
    "get_rule_store",
    "keep_rules",
    "rename_source",
    "sync_together",
]

if not TYPE_CHECKING:
    # Each command needs few of them; all together are half of what most commands import.
    __getattr__, __dir__ = lazy_exports(
        __name__,
        __all__,
        {
            "CompiledRule": "projections.rules.model",
            "KeptRules": "projections.rules.kept_rules",
            "keep_rules": "projections.rules.kept_rules",
            "LoadedReport": "projections.rules.loaded_report",
            "LoadedReporter": "projections.rules.reporter",
            "FeedError": "projections.rules.replica_file",
            "GitLockError": "projections.rules.sources.git_lock",
            "ReplicaFileError": "projections.rules.replica_file",
            "ReadOnlyError": "projections.rules.replica",
            "RuleChange": "projections.rules.model",
            "RuleReplica": "projections.rules.replica",
            "RuleState": "projections.rules.model",
            "RuleStateLike": "projections.rules.given_states",
            "RuleStore": "projections.rules.store",
            "RuleStoreProtocol": "projections.rules.protocol",
            "RuleSync": "projections.rules.sources.sync",
            "RuleTables": "projections.rules.tables",
            "RuleTypes": "projections.rules.rule_types",
            "SharedRuleStore": "projections.rules.factory",
            "SourceError": "projections.rules.sources.source_error",
            "SourceNameError": "projections.rules.sources.renaming",
            "SyncReport": "projections.rules.sources.sync_report",
            "get_rule_store": "projections.rules.factory",
            "rename_source": "projections.rules.sources.renaming",
            "sync_together": "projections.rules.sources.sync",
        },
    )
