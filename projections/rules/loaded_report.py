"""What a worker tells of the rules that it has loaded: one small record, as JSON."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.limits import MAX_REPORT_BYTES
from eventstore.system.secret_text import conceal
from projections.rules.rule_set import DifferenceWord  # noqa: TC001 - msgspec resolves it

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_NAMED: Final = 20
"""Rules that a record names as rejected, and as different; all of them are counted."""

MOST_CHARACTERS: Final = 200
"""Characters of a reason, of an engine's name and of its version."""

log = logging.getLogger(__name__)


class LoadedReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker has loaded.

    ``hash`` is that of its set (:mod:`projections.rules.rule_set`), empty where it is not known.
    The worker has compared what it runs with the rules as of ``position``: ``differs`` are the
    first of the rules in which they differ, of ``differing``. ``rejected`` are the first of those
    that its engine cannot run, of ``refused``, each with the reason. ``process`` is ``host:pid``.
    """

    position: int
    hash: str = ""
    rules: int = 0
    rejected: tuple[tuple[str, str], ...] = ()
    refused: int = 0
    differs: tuple[tuple[str, DifferenceWord], ...] = ()
    differing: int = 0
    engine: str = ""
    version: str = ""
    process: str = ""


def shorten(text: object) -> str:
    """Return a text that can be stored, without what looks like a password, and not too long."""
    plain = str(text).encode("utf-8", "replace").decode()
    return conceal(plain)[:MOST_CHARACTERS]


def name_rejected(rejected: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return the first of the rules that an engine has rejected, with reasons to be stored."""
    return tuple((rule_id, shorten(why)) for rule_id, why in sorted(rejected)[:MOST_NAMED])


def encode_report(report: LoadedReport) -> str:
    """Return a report as it is stored; where it is too long it names fewer rules."""
    while True:
        text = msgspec.json.encode(report).decode()
        if len(text.encode()) <= MAX_REPORT_BYTES:
            return text
        halves = {
            name: getattr(report, name)[: len(getattr(report, name)) // 2]
            for name in ("rejected", "differs")
        }
        report = msgspec.structs.replace(report, **halves)


def decode_report(text: str) -> LoadedReport | None:
    """Undo :func:`encode_report`; None for what is no report of this form."""
    try:
        return msgspec.json.decode(text, type=LoadedReport)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.info("a worker's report is not read: %s", error)
        return None
