"""All output of the command line: lines, tables, JSON, errors, log records and progress.

No other module of a command writes to stdout or stderr. Names, reasons and messages come from
files, other programs and databases, so every text is escaped on its way out: what would steer
a terminal (control characters, escape sequences, line breaks, bidirectional controls) or cannot
be encoded (lone surrogates) is shown as a Python escape, and no markup is interpreted. What is
printed for people, and every error and log record, is without the passwords of URLs.
"""

from __future__ import annotations

import io
import logging
import shutil
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from eventstore.cli import signals
from eventstore.cli.json_text import to_json
from eventstore.cli.log_lines import log_end_of_thread, make_record, record_values
from eventstore.cli.standard_streams import (
    PIPE_BYTES,
    InterruptibleInput,
    InterruptibleOutput,
    StreamError,
    discard,
    open_closed_streams,
    wait_for_reader,
)
from eventstore.cli.times import show_time
from eventstore.errors import EventStoreError
from eventstore.errors.values import error_values
from eventstore.system.printable import escape, escape_lines
from eventstore.system.secret_text import Secrets, conceal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

PIPE_WIDTH: Final = 240
"""Columns of a table that is not printed on a terminal, so that no cell is wrapped."""


WRITE_CHARACTERS: Final = PIPE_BYTES // 4
"""Characters that are written at once: no more than a writable pipe takes without blocking."""


SECRET_WORD: Final = 6
"""Characters of a key or password from which on it is hidden wherever it stands alone."""

_secrets: Final = Secrets()
"""What this process was given that no error and no log record may quote."""


def hide_secrets(given: Iterable[str], words: Iterable[str] = ()) -> None:
    """Keep what is secret out of errors and logs: in texts that may be URLs, and whole words."""
    for word in words:
        # A shorter one may be a word of what is said about it, such as "short".
        if len(word) >= SECRET_WORD:
            _secrets.learn_word(word)
    _secrets.learn(given)


def without_secrets(value: Any) -> Any:
    """Return values for JSON that a user has named, such as a place, without secrets."""
    return _secrets.conceal_all(value)


def prepare_streams() -> None:
    """Replace closed streams; let stdout and stderr escape what their encoding does not have."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class DeclinedError(EventStoreError):
    """A person was asked and did not say yes; nothing was done."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command says what it has to say; ``json`` chooses machines as the readers."""

    json: bool = False

    def value(self, value: Any, text: str | None) -> None:
        """Print a value: as one line of JSON, or ``text`` for people unless that is ``None``."""
        if self.json:
            _write_json(value)
        elif text is not None:
            _write(sys.stdout, escape(conceal(text)))

    def line(self, text: str) -> None:
        """Print a line for people; nothing with ``--json``."""
        if not self.json:
            _write(sys.stdout, escape(conceal(text)))

    def note(self, text: str) -> None:
        """Print a line on stderr beside the output proper; with ``--json`` only as a log record."""
        if (handler := _handler()).whole:
            handler.emit(make_record(logging.INFO, text))
        elif not self.json:
            _write_aside(one_line(text))

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Print names and values for people, one pair a line."""
        shown = [(escape(name), escape(str(value))) for name, value in facts]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.line(f" {name:<{width}}  {value}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table for people, as wide as the terminal."""
        # rich costs a third of a command's start, and few commands need it.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # Text, because a plain string would be read as markup.
        table = Table(box=None)
        for name in columns:
            table.add_column(Text(escape(name)))
        for row in rows:
            table.add_row(*(Text(escape(conceal(cell))) for cell in row))
        terminal = sys.stdout.isatty()
        shown = io.StringIO()
        console = Console(
            file=shown,
            force_terminal=terminal,
            highlight=False,
            markup=False,
            emoji=False,
            width=shutil.get_terminal_size().columns if terminal else PIPE_WIDTH,
        )
        console.print(table)
        _write(sys.stdout, shown.getvalue().rstrip("\n"))

    def listing(
        self,
        found: Sequence[T],
        values: Callable[[T], object],
        columns: Sequence[str],
        row: Callable[[T], Sequence[str]],
        nothing: str,
    ) -> None:
        """Print what was found: each as a value in JSON, or all in a table; ``nothing`` of none."""
        if self.json:
            for one in found:
                self.value(values(one), None)
        elif found:
            self.table(columns, [row(one) for one in found])
        else:
            self.line(nothing)

    def styled(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print lines for people, each with a style of rich's, which only a terminal shows."""
        if self.json:
            return
        shown = [(escape(conceal(text)), style) for text, style in lines]
        if not sys.stdout.isatty():
            _write(sys.stdout, "\n".join(text for text, _ in shown))
            return
        from rich.console import Console  # noqa: PLC0415 - see :meth:`table`
        from rich.text import Text  # noqa: PLC0415

        coloured = io.StringIO()
        console = Console(file=coloured, force_terminal=True, highlight=False, emoji=False)
        for text, style in shown:
            console.print(Text(text, style), soft_wrap=True)
        _write(sys.stdout, coloured.getvalue().rstrip("\n"))

    @contextmanager
    def progress(self, what: str, unit: str = "events") -> Iterator[Callable[[int, int], None]]:
        """Show a progress bar on stderr; it is there on a terminal only, and not with ``--json``.

        Gives a function that takes how many units are done, and of how many.
        """
        if self.json or not sys.stderr.isatty():
            yield lambda _done, _total: None
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        # Lines that are written meanwhile go through the bar's console, above the bar.
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            transient=True,
        )
        with bar:
            task = bar.add_task(one_line(what), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @property
    def can_draw(self) -> bool:
        """Whether there are a screen and a keyboard: a terminal, and it is not JSON."""
        return not self.json and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer: stdin and stderr are a terminal, and it is not JSON."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> None:
        """Ask on the terminal; raise DeclinedError unless the answer is yes."""
        sys.stderr.write(one_line(f"{question} [y/N] "))
        sys.stderr.flush()
        with signals.interruptible():
            answer = sys.stdin.readline()
        if answer.strip().lower() not in {"y", "yes"}:
            raise DeclinedError("nothing was changed, for the answer was not yes")


def write_text(text: str) -> None:
    """Print a text of several lines on stdout, such as a version."""
    _write(sys.stdout, escape_lines(text))


def write_error(text: str) -> None:
    """Print the one line on stderr that says why a command failed."""
    _write_aside(one_line(f"error: {text}"))


def write_failure(error: BaseException, text: str, *, json: bool) -> None:
    """Print why a command failed: a line for people, or with ``json`` an object on one line."""
    if (handler := _handler()).whole:
        handler.emit(make_record(logging.ERROR, text, error))
    elif json:
        _write_aside(to_json(_secrets.conceal_all(error_values(error, text))).decode())
    else:
        write_error(text)


def write_warning(text: str) -> None:
    """Print a line on stderr about something that does not stop the command."""
    _handler().emit(make_record(logging.WARNING, text))


def write_usage(text: str) -> None:
    """Print on stderr how a command is to be used, in several lines."""
    _write_aside(escape_lines(_secrets.conceal(text)))


def binary_stdout() -> IO[bytes]:
    """Return stdout for a file's content, which nothing escapes."""
    sys.stdout.flush()
    raw: io.RawIOBase = InterruptibleOutput(sys.stdout.fileno())
    return io.BufferedWriter(raw)


def binary_stdin() -> io.BufferedReader:
    """Return stdin as the source of a file's content."""
    return io.BufferedReader(InterruptibleInput(sys.stdin.fileno()))


def discard_stdout() -> None:
    """Send what is still buffered for stdout nowhere, after its reader has closed the pipe."""
    discard(sys.stdout)


def flush() -> None:
    """Flush stdout and stderr before the end; raise OSError where stdout cannot take it."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
        raise


class _LogHandler(logging.Handler):
    """Log records on stderr: time, level and message in one line, a traceback line by line.

    With ``json`` each record is an object on one line. ``whole`` says that all else is one too.
    """

    def __init__(self, *, json: bool = False, whole: bool = False) -> None:
        super().__init__()
        self._json = json
        self.whole = whole

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write_aside(self._json_line(record) if self._json else self._lines(record))
        except Exception as error:
            # What logging itself would print is neither escaped nor without passwords.
            _write_aside(one_line(f"a record of {record.name!r} cannot be shown: {error!r}"))

    def _lines(self, record: logging.LogRecord) -> str:
        time = show_time(datetime.fromtimestamp(record.created, UTC))
        lines = f"{time} {record.levelname:<8} {one_line(record.getMessage())}"
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            lines = f"{lines}\n{escape_lines(_secrets.conceal(trace))}"
        return lines

    def _json_line(self, record: logging.LogRecord) -> str:
        return to_json(_secrets.conceal_all(record_values(record))).decode()


def _handler() -> _LogHandler:
    """Return the handler that is installed, or a plain one."""
    ours = (one for one in logging.getLogger().handlers if isinstance(one, _LogHandler))
    return next(ours, _LogHandler())


def show_log_records(*, verbose: bool, json: bool = False, log_format: str | None = None) -> None:
    """Print log records on stderr: warnings, and with ``verbose`` what informs.

    With the ``log_format`` ``"json"`` they are JSON, and so is all else on stderr; without one
    they are with ``json``.
    """
    whole = log_format == "json"
    handler = _LogHandler(json=whole or (json and log_format is None), whole=whole)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # psycopg warns of what it ignores on the way to an error, which is reported all the same.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    threading.excepthook = log_end_of_thread


def one_line(text: str) -> str:
    """Return a text as one line for a terminal: escaped, and without secrets."""
    return escape(_secrets.conceal(text))


def _write(stream: IO[str], lines: str) -> None:
    """Write to stdout; raise StreamError where it is closed or full, BrokenPipeError as it is."""
    text = lines + "\n"
    try:
        for start in range(0, len(text), WRITE_CHARACTERS):
            wait_for_reader(stream)
            stream.write(text[start : start + WRITE_CHARACTERS])
            stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(stream)
        raise StreamError(f"stdout cannot be written: {error.strerror}") from error


def _write_aside(lines: str) -> None:
    """Write to stderr; what cannot be written there is dropped, for the exit status tells."""
    try:
        _write(sys.stderr, lines)
    except (OSError, EventStoreError):
        discard(sys.stderr)


def _write_json(value: Any) -> None:
    encoded = memoryview(to_json(value) + b"\n")
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        _write(stream, bytes(encoded[:-1]).decode())
        return
    # JSON is always UTF-8; the encoding of the console does not matter.
    try:
        stream.flush()
        for start in range(0, len(encoded), PIPE_BYTES):
            wait_for_reader(stream)
            stream.buffer.write(encoded[start : start + PIPE_BYTES])
            stream.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(stream)
        raise StreamError(f"stdout cannot be written: {error.strerror}") from error
