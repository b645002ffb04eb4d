"""The log's own commands, declared as every other package declares its own."""

from __future__ import annotations

from typing import Final

from eventstore.cli.manifest import Command, EventLines, Keeper, Manifest, Routes

MANIFEST: Final = Manifest(
    title="The log",
    commands=(
        Command("init", "Create an empty log.", "eventstore.cli.streams:init"),
        Command("append", "Append one event to a stream.", "eventstore.cli.streams:append"),
        Command("show", "Show what a stream or a rule is now.", "eventstore.cli.streams:show"),
        Command("streams", "List streams with their versions.", "eventstore.cli.streams:streams"),
        Command(
            "tail",
            "Print events as they are appended.",
            "eventstore.cli.events:tail",
            interrupted=0,
            one_shot=("--no-follow",),
        ),
        Command("tag", "Give a moment a name, or list the names.", "eventstore.cli.moments:tag"),
        Command("history", "Show the events of one stream.", "eventstore.cli.events:history"),
        Command(
            "status",
            "Show the log, its notifier and its consumers, or check some of them.",
            "eventstore.cli.status:status",
        ),
        Command(
            "wait",
            "Wait until every consumer has processed a change.",
            "eventstore.cli.consumers:wait",
        ),
        Command(
            "consumers",
            "List the named consumers, with how far behind they are.",
            "eventstore.cli.consumers:consumers",
        ),
        Command(
            "consumers remove",
            "Remove a consumer that is gone for good.",
            "eventstore.cli.consumers:remove",
        ),
        Command(
            "consumers rewind",
            "Give a consumer events again.",
            "eventstore.cli.consumers:rewind",
        ),
        Command(
            "outbox run",
            "Deliver events to a webhook.",
            "eventstore.cli.outbox:run",
            interrupted=0,
            one_shot=("--once",),
        ),
        Command(
            "outbox letters",
            "List what an outbox has given up.",
            "eventstore.cli.outbox:letters",
        ),
        Command(
            "outbox retry",
            "Deliver again what an outbox has given up.",
            "eventstore.cli.outbox:retry",
        ),
        Command(
            "outbox drop",
            "Take what an outbox has given up off the list.",
            "eventstore.cli.outbox:drop",
        ),
        Command("serve", "Serve the log over HTTP.", "eventstore.cli.serve:serve", interrupted=0),
        Command("tokens", "List who may do what over HTTP.", "eventstore.cli.serve:tokens"),
        Command("tokens list", "List who may do what over HTTP.", "eventstore.cli.serve:tokens"),
        Command("tokens create", "Create a token.", "eventstore.cli.serve:create"),
        Command("tokens revoke", "Revoke a token.", "eventstore.cli.serve:revoke"),
        Command(
            "verify",
            "Check that nothing in the log was changed.",
            "eventstore.cli.integrity:verify",
        ),
        Command(
            "redact", "Erase the content of one event for good.", "eventstore.cli.integrity:redact"
        ),
        Command(
            "rebuild",
            "Compute a projection again from the first event.",
            "eventstore.cli.rebuild:rebuild",
        ),
        Command("export", "Write the whole log into one file.", "eventstore.cli.archives:export"),
        Command("import", "Fill an empty log from an export.", "eventstore.cli.archives:import_"),
        Command("backup", "Copy the file of a SQLite log.", "eventstore.cli.backups:backup"),
        Command("restore", "Put a backup in the log's place.", "eventstore.cli.backups:restore"),
        Command(
            "trim",
            "Archive the oldest events and remove them from the log.",
            "eventstore.cli.trim:trim",
        ),
    ),
    event_lines=(
        EventLines(("EventRedacted",), "eventstore.cli.event_lines:describe_redaction"),
        EventLines(("MomentTagged",), "eventstore.cli.moments:describe", "tag/"),
    ),
    keepers=(Keeper("eventstore.outbox.trim_policy:keep_letters"),),
    routes=(
        Routes("eventstore.cli.status_route:status_routes"),
        Routes("eventstore.cli.integrity_routes:integrity_routes"),
    ),
)
