"""Rules as files: what an event means for a directory, and the replica file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from projections.directory.content import FileChange
from projections.rules.events import RULE_DEFINED
from projections.rules.events_in_force import EventsInForce
from projections.rules.fold import Defined, Removed, Unusable, read_erasure, read_event
from projections.rules.replica_file import REPLICA_FORMAT

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.redaction import Redaction


def rule_file(event: Event) -> FileChange | None:
    """Return what an event means for the file of its rule; None where it means nothing.

    Raises ValueError for a definition that cannot be used.
    """
    match read_event(event):
        case Defined() as rule:
            # Of the rules of one file only one is the file's.
            path = rule.path if rule.content is not None else None
            return FileChange(event.stream, path, rule.content)
        case Removed():
            return FileChange(event.stream, None, None)
        case Unusable(reason) if event.type == RULE_DEFINED:
            raise ValueError(reason)
    return None


class RuleFiles:
    """The content of a directory of rules, which holds honour; see DirectoryContent."""

    from_snapshot = True
    companion = REPLICA_FORMAT
    event_filter = EventsInForce

    def file_change(self, event: Event) -> FileChange | None:
        """Return what an event means for the file of its rule; see :func:`rule_file`."""
        return rule_file(event)

    def erased_key(self, redaction: Redaction) -> str | None:
        """Return the rule whose file goes with a redacted definition."""
        erased = read_erasure(redaction)
        return erased.stream if isinstance(erased.instead, Removed) else None


RULE_FILES: Final = RuleFiles()
