"""What this package adds to the command line."""

from __future__ import annotations

from typing import Final

from eventstore.cli.manifest import (
    Checkpoints,
    Command,
    EventLines,
    Keeper,
    LogCheck,
    Manifest,
    MetricsGroup,
    Rebuild,
    Routes,
    StatusSection,
    TailCompanion,
    View,
    ViewRebuild,
    commands_of,
)

FILE_DIFF: Final = "projections.cli.event_lines:file_diff"

MANIFEST: Final = Manifest(
    title="Rules and projections",
    commands=(
        Command(
            "up",
            "Follow a directory of rules, project it, and print each change.",
            "projections.cli.rule_sync:up",
            interrupted=0,
        ),
        Command(
            "sync",
            "Turn rule files into events.",
            "projections.cli.rule_sync:sync",
            interrupted=0,
            one_shot=("--once",),
        ),
        Command(
            "check",
            "Check rule files as sync would, without a log.",
            "projections.cli.rule_check:check",
        ),
        Command("source", "Rename a source of rules.", "projections.cli.sources:source"),
        Command(
            "project",
            "Turn events into files, now or as of any position.",
            "projections.cli.directory:project",
            interrupted=0,
            one_shot=("--once", "--at", "--check"),
        ),
        Command(
            "views",
            "List the views, with version, position, size and state.",
            "projections.cli.views:views",
        ),
        *commands_of(
            "projections.cli.view_builds",
            {
                "views build": "Build a new version of a view beside the live one.",
                "views swap": "Make a new version of a view the live one.",
                "views retry": "Apply events again that a view has set aside.",
                "views drop": "Remove a view, or a version that is built.",
            },
        ),
        Command("rules", "List the rules and their states.", "projections.cli.rules:rules"),
        Command(
            "rules keep",
            "Keep a copy of the rules on this host, for when the log is away.",
            "projections.cli.kept:keep",
            interrupted=0,
            one_shot=("--check",),
        ),
        Command("diff", "Show what differs between two moments.", "projections.cli.diffs:diff"),
        Command(
            "blame",
            "Show who wrote each line of a rule, when and why.",
            "projections.cli.blame:blame",
        ),
        *commands_of(
            "projections.cli.reverts",
            {
                "revert": "Restore a rule, a source or a stream as it was.",
                "undo": "Undo one commit of the log.",
            },
        ),
        *commands_of(
            "projections.cli.holds",
            {
                "hold": "Hold the rules at a moment.",
                "release": "Let held rules go.",
            },
        ),
        *commands_of(
            "projections.cli.fleet",
            {
                "fleet": "Show who has which rules.",
                "fleet forget": "Forget what a worker has told.",
            },
        ),
        Command("state", "Set the operational state of a rule.", "projections.cli.rules:state"),
    ),
    event_lines=(
        EventLines(("RuleDefined",), "projections.cli.event_lines:definition", "rule/", FILE_DIFF),
        EventLines(("RuleRemoved",), "projections.cli.event_lines:removal", "rule/", FILE_DIFF),
        EventLines(("RuleRejected",), "projections.cli.event_lines:rejection", "source/"),
        EventLines(("RejectionEnded",), "projections.cli.event_lines:rejection_end", "source/"),
        EventLines(("SourceRenamed",), "projections.cli.event_lines:source_renamed", "source/"),
        EventLines(("RuleStateSet",), "projections.cli.event_lines:state", "rule-state/"),
        EventLines(("RulesHeld",), "projections.cli.holds:held_line", "rule-hold/"),
        EventLines(("RulesReleased",), "projections.cli.holds:released_line", "rule-hold/"),
        EventLines(("RuleStateExpired",), "projections.cli.event_lines:expiry", "rule-state/"),
    ),
    status_sections=(
        StatusSection("rules", "projections.cli.source_status:rules"),
        StatusSection("holds", "projections.cli.holds:holds"),
        StatusSection(
            "sources",
            "projections.cli.source_status:sources",
            check_option="--source",
            check_help="Check that a master follows this source; may be given again.",
            missing="is followed by no master",
        ),
        StatusSection("projections", "projections.cli.projection_status:projections"),
        StatusSection("elsewhere", "projections.cli.projection_status:elsewhere"),
        StatusSection("rejections", "projections.cli.rejection_status:rejections"),
        StatusSection("ignored", "projections.cli.source_status:ignored"),
        StatusSection(
            "fleet",
            "projections.cli.fleet:fleet_status",
            check_option="--drift",
            check_help="Check that each worker runs the rules that it should.",
            check_all=True,
        ),
    ),
    rebuilds=(
        Rebuild("directory", "projections.cli.rebuilds:directory", directory=True, database=False),
        Rebuild("rules", "projections.cli.rebuilds:rules"),
        Rebuild("registry", "projections.cli.rebuilds:registry"),
        Rebuild("journal", "projections.cli.rebuilds:journal"),
        Rebuild("memories", "projections.cli.rebuilds:memories", directory=True),
        Rebuild("sql", "projections.cli.rebuilds:sql"),
    ),
    checkpoints=(
        Checkpoints(("",), "projections.cli.checkpoints:directory"),
        Checkpoints(
            ("sqlite", "memory", "postgresql", "postgres", "postgresql+psycopg"),
            "projections.cli.checkpoints:database",
        ),
    ),
    keepers=(
        Keeper("projections.rules.trim_policy:keep_rules"),
        Keeper("projections.registry.trim_policy:keep_registry"),
        Keeper("projections.journal.trim_policy:keep_journal"),
        Keeper("projections.memories.trim_policy:keep_memories"),
        Keeper("projections.sql.trim_policy:keep_sql"),
    ),
    log_checks=(LogCheck("projections.sql.check:check_events"),),
    routes=(
        Routes("projections.rules.http_routes:rule_routes"),
        Routes("projections.rules.http_travel:travel_routes"),
        Routes("projections.rules.fleet_routes:fleet_routes"),
        Routes("projections.tables.http_routes:view_routes"),
        Routes("projections.console.routes:console_routes", name="console"),
    ),
    metrics=(
        MetricsGroup("sources", "projections.cli.metrics:source_metrics"),
        MetricsGroup("projections", "projections.cli.metrics:projection_metrics"),
        MetricsGroup("fleet", "projections.cli.fleet_metrics:fleet_metrics"),
    ),
    views=(
        View("journal", "projections.journal.tables:JournalTables"),
        View("memories", "projections.memories.tables:MemoryTables"),
        View("registry", "projections.registry.tables:RegistryTables"),
        View("rules", "projections.rules.tables:RuleTables"),
    ),
    view_rebuilds=(ViewRebuild("projections.cli.rebuilds:view"),),
    history_categories=("rule/", "rule-state/"),
    tail_companions=(TailCompanion("projections.cli.tail_reports:TailReporter"),),
)
