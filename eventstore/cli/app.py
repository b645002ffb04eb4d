"""The command line as a whole: what comes before a command's name, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from itertools import pairwise
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from eventstore.cli import output
from eventstore.cli.contributions import DISTRIBUTION, contributions
from eventstore.cli.lazy_commands import HELP_NAMES, CommandGroup
from eventstore.cli.messages import usage_text
from eventstore.cli.options import USAGE_ERROR, Config, Json, LogFormat, Options, Url, Utc, Verbose
from eventstore.cli.outcome import conclude
from eventstore.cli.plain_values import take_plain_values
from eventstore.config import given_variables, secret_variables
from eventstore.errors import EventStoreError

PROGRAM: Final = "eventstore"

app = typer.Typer(
    name=PROGRAM,
    cls=CommandGroup,
    help="One log of events: append to it, follow it, and compute files and tables from it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP_NAMES,
)


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    *,
    url: Url = None,
    json: Json = False,
    config: Config = None,
    verbose: Verbose = False,
    utc: Utc = False,
    log_format: LogFormat = None,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    """Take what every command shares."""
    if show_version:
        output.write_text(_version())
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("Missing command.")
    context.obj = Options(url, json, config, verbose, utc, log_format)


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - see eventstore.system.entry_points

    return version(DISTRIBUTION)


def run_program() -> None:
    """Run the command line and exit with its status."""
    output.prepare_streams()
    options = _words(sys.argv[1:])
    output.hide_secrets([*sys.argv[1:], *given_variables()], secret_variables())
    json, verbose = "--json" in options, bool(options & {"-v", "--verbose"})
    output.show_log_records(verbose=verbose, json=json, log_format=_log_format(sys.argv[1:]))
    try:
        if f"_{PROGRAM.upper()}_COMPLETE" not in os.environ:
            for warning in contributions().warnings:
                output.write_warning(warning)
        status = _status(json=json)
        output.flush()
    except (Exception, KeyboardInterrupt) as error:
        status = conclude(error, json=json, verbose=verbose)
        output.discard_stdout()
    sys.exit(status)


def _words(arguments: list[str]) -> set[str]:
    """Return the arguments that may be options: how errors are shown is needed before parsing."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return set(arguments[:end])


def _log_format(arguments: list[str]) -> str | None:
    """Return what an argument says that may be the option: what is not read yet may fail."""
    words = " ".join(arguments).replace("--log-format=", "--log-format ").split(" ")
    for option, value in pairwise(words):
        if option == "--log-format" and value in {"text", "json"}:
            return value
    return None


def _status(*, json: bool) -> int:
    """Run what the arguments say; return the exit status."""
    if sys.argv[1:] == ["--version"]:
        # typer would import pydantic to read the option.
        output.write_text(_version())
        return 0
    try:
        status = take_plain_values(get_command(app)).main(prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort:
        raise EventStoreError("aborted") from None
    except USAGE_ERROR as error:
        return _show_usage(error, json=json)
    except SystemExit as end:
        # What typer makes of a closed pipe.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    return status if isinstance(status, int) else 0


def _show_usage(error: Any, *, json: bool) -> int:
    """Show the help where a command needs arguments and got none, else what is wrong in a line."""
    status: int = error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":
        shown = io.StringIO()
        error.show(file=shown)
        output.write_usage(shown.getvalue().rstrip("\n"))
        return status
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    message = usage_text(error.format_message())
    output.write_failure(error, f"{message}; see '{path} --help'", json=json)
    return status
