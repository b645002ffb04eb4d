"""The log's own commands, declared as every other package declares its own."""

from __future__ import annotations

from typing import Final

from eventstore.cli.manifest import Command, EventLines, Keeper, Manifest, Routes, commands_of

MANIFEST: Final = Manifest(
    title="The log",
    commands=(
        *commands_of(
            "eventstore.cli.streams",
            {
                "init": "Create an empty log.",
                "append": "Append one event to a stream.",
                "show": "Show what a stream or a rule is now.",
                "streams": "List streams with their versions.",
            },
        ),
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
            "top",
            "Show the log, its followers and what is not well, kept up to date.",
            "eventstore.cli.top:top",
            interrupted=0,
        ),
        *commands_of(
            "eventstore.cli.consumers",
            {
                "wait": "Wait until every consumer has processed a change.",
                "consumers": "List the named consumers, with how far behind they are.",
                "consumers remove": "Remove a consumer that is gone for good.",
                "consumers rewind": "Give a consumer events again.",
            },
        ),
        Command(
            "outbox run",
            "Deliver events to a webhook.",
            "eventstore.cli.outbox:run",
            interrupted=0,
            one_shot=("--once",),
        ),
        *commands_of(
            "eventstore.cli.outbox",
            {
                "outbox letters": "List what an outbox has given up.",
                "outbox retry": "Deliver again what an outbox has given up.",
                "outbox drop": "Take what an outbox has given up off the list.",
            },
        ),
        Command("serve", "Serve the log over HTTP.", "eventstore.cli.serve:serve", interrupted=0),
        Command("tokens", "List who may do what over HTTP.", "eventstore.cli.serve:tokens"),
        Command("tokens list", "List who may do what over HTTP.", "eventstore.cli.serve:tokens"),
        *commands_of(
            "eventstore.cli.serve",
            {
                "tokens create": "Create a token.",
                "tokens revoke": "Revoke a token.",
            },
        ),
        *commands_of(
            "eventstore.cli.integrity",
            {
                "verify": "Check that nothing in the log was changed.",
                "redact": "Erase the content of one event for good.",
            },
        ),
        Command(
            "rebuild",
            "Compute a projection again from the first event.",
            "eventstore.cli.rebuild:rebuild",
        ),
        *commands_of(
            "eventstore.cli.archives",
            {
                "export": "Write the whole log into one file.",
                "import": "Fill an empty log from an export.",
            },
        ),
        *commands_of(
            "eventstore.cli.backups",
            {
                "backup": "Copy the file of a SQLite log.",
                "restore": "Put a backup in the log's place.",
            },
        ),
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
