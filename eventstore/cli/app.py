"""The command line as a whole: what comes before a command's name, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from eventstore.cli import output
from eventstore.cli.contributions import DISTRIBUTION, contributions
from eventstore.cli.lazy_commands import HELP_NAMES, CommandGroup
from eventstore.cli.options import USAGE_ERROR, Config, Json, Options, Url, Verbose
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
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    """Take what every command shares."""
    if show_version:
        output.write_text(version(DISTRIBUTION))
        raise typer.Exit
    context.obj = Options(url, json, config, verbose)


def main() -> None:
    """Run the command line and exit with its status."""
    output.prepare_streams()
    if f"_{PROGRAM.upper()}_COMPLETE" not in os.environ:
        for warning in contributions().warnings:
            output.write_warning(warning)
    sys.exit(_status())


def _status() -> int:
    """Run what the arguments say; return the exit status."""
    try:
        status = get_command(app).main(prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort:
        output.write_error("aborted")
        return 1
    except EventStoreError as error:
        # A command that could not be imported.
        output.write_error(str(error))
        return 1
    except USAGE_ERROR as error:
        return _show_usage(error)
    return status if isinstance(status, int) else 0


def _show_usage(error: Any) -> int:
    # Help is laid out in lines; any other message may hold what a file or a program named.
    if type(error).__name__ != "NoArgsIsHelpError" and isinstance(error.message, str):
        error.message = output.escape(error.message)
    shown = io.StringIO()
    error.show(file=shown)
    output.write_usage(shown.getvalue().rstrip("\n"))
    status: int = error.exit_code
    return status
