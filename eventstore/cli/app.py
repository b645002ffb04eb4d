"""The commands, their options and their help; what they do is in the other modules."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated, Final, Literal

import typer

from eventstore.cli import checking, health, looking, moving, rebuilding, verifying
from eventstore.cli.run import Options, run
from projections.rules.formats import known_formats

app = typer.Typer(
    name="eventstore",
    help="One log of events: rule files become events, events become files, workers follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED: Final = 130
"""The status of a check that Ctrl-C ended: it must not pass for one that found nothing."""

Url = Annotated[
    str | None,
    typer.Option(help="The log: sqlite:///FILE or postgresql://… Also EVENTSTORE_URL."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
Format = Annotated[
    str | None,
    typer.Option(
        help=f"How files are read: {', '.join(known_formats())}.",
        autocompletion=lambda: list(known_formats()),
    ),
]
Source = Annotated[
    str | None,
    typer.Option(help="The directory's name within the log; default its path."),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="An empty directory may remove every rule.")
]


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    *,
    url: Url = None,
    json: Json = False,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file; default config/eventstore.toml. Also EVENTSTORE_CONFIG."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    """Take what every command shares."""
    if show_version:
        typer.echo(version("ruletide"))
        raise typer.Exit
    context.obj = Options(url, json, config, verbose)


def _options(context: typer.Context, url: str | None, json: bool) -> Options:
    given: Options = context.obj
    return Options(url or given.url, json or given.json, given.config, given.verbose)


@app.command()
def up(
    context: typer.Context,
    *,
    rules: Annotated[Path, typer.Option(help="The directory of rule files to follow.")],
    to: Annotated[
        Path | None,
        typer.Option(help="A directory to keep equal to the log."),
    ] = None,
    format: Format = None,  # noqa: A002 - the word that users write
    source: Source = None,
    allow_empty: AllowEmpty = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Do the main job: follow a directory of rules, project it, print each change."""
    run(
        _options(context, url, json),
        lambda session: moving.up(
            session, rules, to, moving.SyncOptions(format, source, allow_empty)
        ),
    )


@app.command()
def sync(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="The directory of rule files.")],
    *,
    format: Format = None,  # noqa: A002 - the word that users write
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    source: Source = None,
    allow_empty: AllowEmpty = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Be the master: files become events."""
    run(
        _options(context, url, json),
        lambda session: moving.sync(
            session, directory, moving.SyncOptions(format, source, allow_empty), once=once
        ),
    )


@app.command()
def check(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(help="The directory of rule files.", exists=True, file_okay=False)
    ],
    *,
    format: Format = None,  # noqa: A002 - the word that users write
    json: Json = False,
) -> None:
    """Judge rule files as the master would, without any log; status 1 where it finds faults."""
    if format is not None and format not in known_formats():
        raise typer.BadParameter(f"{format!r} is none of {', '.join(known_formats())}")
    findings = run(
        _options(context, None, json),
        lambda session: checking.check(session, directory, format),
    )
    if findings is None:
        raise typer.Exit(INTERRUPTED)
    if findings:
        raise typer.Exit(1)


@app.command()
def project(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="The directory to keep equal to the log.")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Catch up and end.")] = False,
    at: Annotated[
        int | None,
        typer.Option(min=0, help="Make it as of this position, and end."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Turn events into files, now or as of any position."""
    run(
        _options(context, url, json),
        lambda session: moving.project(session, directory, once=once, at=at),
    )


@app.command()
def rebuild(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help=f"The view: {', '.join(rebuilding.VIEWS)}.",
            autocompletion=lambda: list(rebuilding.VIEWS),
        ),
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option(help="For directory, and for memories as files: which one."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="For tables: a URL; default the log's own database."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Compute a view again from the first event; the old one serves until it is complete."""
    rebuilding.check_usage(name, to, database)
    run(
        _options(context, url, json),
        lambda session: rebuilding.rebuild(session, name, to, database),
    )


@app.command()
def tail(
    context: typer.Context,
    *,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Start after this position; default at the beginning."),
    ] = None,
    consumer: Annotated[
        str | None,
        typer.Option(help="Keep the place under this name, and resume there."),
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option(help="Only a category (rule/) or one stream (rule/R1)."),
    ] = None,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="End at the head.")] = False,
    kept: Annotated[
        bool,
        typer.Option("--kept", help="Where history was trimmed, go on with what was kept of it."),
    ] = False,
    skip_gone: Annotated[
        bool,
        typer.Option("--skip-gone", help="Where history was trimmed, go on with what is left."),
    ] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Be a worker: print changes as they come."""
    if skip_gone and (consumer is None or kept):
        raise typer.BadParameter("--skip-gone goes with --consumer NAME, and not with --kept")
    what = looking.Tail(after, consumer, streams, not no_follow, kept, skip_gone)
    run(_options(context, url, json), lambda session: looking.tail(session, what))


@app.command()
def rules(
    context: typer.Context,
    *,
    replica: Annotated[
        Path | None,
        typer.Option("--from", help="A projected directory, or a copy of one, instead of a log."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List the rules that stand, with their states."""
    run(_options(context, url, json), lambda session: looking.rules(session, replica))


@app.command()
def state(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="The rule's id; it need not exist yet.")],
    state: Annotated[Literal["enabled", "disabled", "clipped"], typer.Argument()],
    *,
    reason: Annotated[
        str | None,
        typer.Option(help="Why."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="When it ends: 2026-01-31T12:00+00:00, or from now: 30m, 2h, 7d."),
    ] = None,
    confidence_max: Annotated[
        float | None,
        typer.Option(help="For clipped: the highest confidence that findings keep."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Who says so; default the user's login name."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Set a rule's operational state; every worker hears of it at once."""
    expires_at = _parse_until(until) if until is not None else None
    run(
        _options(context, url, json),
        lambda session: looking.set_state(
            session,
            rule,
            looking.NewState(state, confidence_max, expires_at, reason, by or getpass.getuser()),
        ),
    )


@app.command()
def history(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="A stream (rule/R1), or a rule's id (R1).")],
    *,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show everything that happened to one stream."""
    run(_options(context, url, json), lambda session: looking.history(session, stream))


@app.command()
def wait(
    context: typer.Context,
    position: Annotated[
        int | None,
        typer.Argument(min=0, help="Where the change is in the log; default where it ends now."),
    ] = None,
    *,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="Wait for this one; may be given again. Default: all that are known."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Give up after so many seconds.")] = 30.0,
    url: Url = None,
    json: Json = False,
) -> None:
    """Wait until every consumer has done a change; status 1 if one rejects it or is late."""
    run(
        _options(context, url, json),
        lambda session: looking.wait(session, position, consumer or (), timeout),
    )


@app.command()
def verify(
    context: typer.Context,
    *,
    anchor: Annotated[
        str | None,
        typer.Option(help="A cursor kept elsewhere, ID:POSITION:HASH, that the log must contain."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="Also a projected directory, or tables: sqlite:///FILE. Repeatable."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Check that nothing in the log was changed; status 1 where something was."""
    sound = run(
        _options(context, url, json),
        lambda session: verifying.verify(session, anchor, view or []),
    )
    if sound is None:
        raise typer.Exit(INTERRUPTED)
    if not sound:
        raise typer.Exit(1)


@app.command()
def redact(
    context: typer.Context,
    position: Annotated[int, typer.Argument(min=1, help="The event's position.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    by: Annotated[
        str | None,
        typer.Option(help="Who says so; default the user's login name."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Erase an event's content for good; that it was there stays."""
    run(
        _options(context, url, json),
        lambda session: verifying.redact(session, position, reason, by),
    )


@app.command()
def status(
    context: typer.Context,
    *,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="Check this one; may be given again."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Check that a master follows this one; may be given again."),
    ] = None,
    within: Annotated[
        float,
        typer.Option(min=0, help="How many seconds a checked consumer may be behind."),
    ] = 30.0,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the log, its notifier and its consumers; or check some, status 1 if one is unwell."""
    checks = health.Checks(consumer or (), source or (), within)
    run(
        _options(context, url, json),
        lambda session: health.check(session, checks) if checks else health.status(session),
    )


def _parse_until(text: str) -> datetime:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isdigit():
        return datetime.now(UTC) + timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-01-31T12:00+00:00 nor a duration such as 2h"
        ) from error
    return moment if moment.tzinfo is not None else moment.astimezone()


def main() -> None:
    """Run the command line."""
    app()
