"""A directory that holds exactly the files that the log says, byte for byte."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from eventstore.errors import ConfigError, ProjectionError, StorageError, StoreClosedError
from eventstore.log.events import Cursor, Event
from eventstore.log.inline_projection import is_named_by_trims
from eventstore.log.redaction import read_redaction
from projections.directory._forms import Form
from projections.directory._opening import OWNER, load_companion, load_manifest, write_owner
from projections.directory._published_tree import LiveTree, Place
from projections.directory._safe_tree import translate_errors
from projections.directory.content import FunctionContent, OutdatedError
from projections.directory.file_changes import RejectedError, fold, read_change
from projections.directory.path_claims import Claims
from projections.protocol import OutdatedViewError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from projections.directory._generations import Generations
    from projections.directory.content import Companion, DirectoryContent, FileChange, Files
    from projections.directory.manifest import SetAside


GRACE_SECONDS: Final = 60.0
"""How long an earlier generation of an atomic directory stays."""


class _Rebuild:
    """How far a rebuild has come, in memory; the directory still serves the old files."""

    def __init__(self, cursor: Cursor, companion: Companion | None) -> None:
        self.companion = companion
        self.claims = Claims()
        self.contents: dict[str, bytes] = {}
        self.cursor = cursor


class DirectoryProjection:
    """Keeps a real directory equal to what the log says. Implements Projection and Healing.

    ``files`` is what the events mean for a directory: a DirectoryContent, or a function that
    gives the file that an event means. The file of a key moves and goes with it. An event that
    cannot be applied (a path that leads elsewhere, malformed data, a file that is not ours in
    its place) is recorded in the manifest with ``on_error="set_aside"``, and with ``"stop"``
    ends with ProjectionError after everything before its commit. Where two keys claim one
    path, the second waits until it is free.

    Files appear complete, by rename; the position is published last, in ``.eventstore.json``
    with every file's SHA-256 (:func:`~projections.directory.read_tree` uses that). A file that
    is not in the manifest is never changed, except that a symbolic link or an empty directory
    in the place of a file makes way. Needs a POSIX system.

    With ``atomic``, ``root`` is a link to a whole generation of the directory, and is switched to
    the next one; earlier ones stay for ``grace_seconds`` (docs/directories.md). False makes it a
    plain directory, None leaves the form that is there.

    With ``journal``, a commit is published as a line of ``.eventstore-journal``, and the manifest
    is written whole a second later: see :meth:`compact`.

    With ``names_later`` as well, a file's content is on the disk before its name replaces the one
    before, and names and lines of the journal are there with the next whole manifest. So a loss of
    power leaves each file as it was or as it is to be, and what is missing is written when the
    directory is next opened. A process that is killed loses nothing.

    ``private_names`` gives the projection's own files other names on disk, the manifest's first:
    for programs that take each ``*.json`` for theirs. A directory with the usual names is renamed
    when it is opened.

    Every method raises StorageError where the file system fails, and where the root was
    removed or replaced meanwhile; the directory then stays at its old cursor and the next
    ``apply`` repeats.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        files: DirectoryContent | Files,
        name: str = "directory",
        on_error: Literal["set_aside", "stop"] = "set_aside",
        fsync: bool = True,
        names_later: bool = False,
        private_names: Mapping[str, str] | None = None,
        journal: bool = False,
        atomic: bool | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        if on_error not in {"set_aside", "stop"}:
            raise ConfigError(f"on_error={on_error!r}: say 'set_aside' or 'stop'")
        self.name = name
        self.root = Path(root)
        self._content = FunctionContent(files) if callable(files) else files
        self.from_snapshot = self._content.from_snapshot
        self.event_filter = getattr(self._content, "event_filter", None)
        self.named_by_trims = is_named_by_trims(self._content)
        self._stop = on_error == "stop"
        self._form = Form(
            self.root,
            name,
            atomic=atomic,
            fsync=fsync,
            names_later=names_later,
            names=private_names,
            grace_seconds=grace_seconds,
        )
        self._journal = journal
        self.outdated = False
        """Whether the directory lacks what this version publishes, and has to be rebuilt."""
        self._live: LiveTree | None = None
        self._generations: Generations | None = None
        self._rebuild: _Rebuild | None = None
        self._redacted = False

    @property
    def set_aside(self) -> Sequence[SetAside]:
        """What the log says that is not in the directory now: positions and reasons.

        Events that could not be read stay listed, the newest 1,000 of them. A file that
        waits for its path, or is obstructed, is listed until it is written.
        """
        return tuple(self._opened.manifest.set_aside)

    @property
    def place(self) -> str:
        """Names the directory, as an absolute path."""
        return str(self.root.absolute())

    @property
    def position(self) -> int:
        """The position that the published directory is at; 0 where it has seen nothing."""
        return self._opened.manifest.position

    def open(self, log_id: str) -> Cursor | None:
        """Own the directory, made if it is missing; return how far it has come.

        Raises ProjectionBusyError where another runner owns it, ForeignDirectoryError where
        it is not empty and not ours, HistoryDivergedError where it was made from another
        log, ManifestError where its manifest is damaged or of a newer version.
        """
        with translate_errors(str(self.root)):
            tree, generations = self._form.open(log_id)
            try:
                manifest, journal = load_manifest(tree, self.root, self.name, log_id)
                cursor, format_ = manifest.cursor, self._content.companion
                companion = load_companion(tree, self.root, format_, cursor, journal)
                self.outdated = companion is None and format_ is not None
                live = LiveTree(tree, manifest, companion, format_, journal=self._journal)
                # Ends what a killed process has begun, and writes a first manifest.
                live.bring(live.claims.copy(), {}, cursor, companion, stop=False)
                write_owner(tree)
            except BaseException:
                tree.close()
                if generations is not None:
                    generations.close()
                raise
            tree.release()
        if generations is not None and not generations.is_published:
            self.outdated = True  # A first generation that is complete comes of a rebuild.
        self._generations = generations
        self._live, self._rebuild = live, None
        return cursor if cursor.position or cursor.hash else None

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, then publish ``cursor``.

        Only the last content of each path is written, and only where it differs. Raises
        ProjectionError, with ``on_error="stop"``, for an event that cannot be applied.
        """
        with self._using() as live:
            rejected: RejectedError | None = None
            while True:
                try:
                    self._advance(live, events, cursor)
                    break
                except RejectedError as error:
                    rejected = error
                events = _before(events, rejected)
                if not events:
                    break
                cursor = Cursor(cursor.log_id, events[-1].position, events[-1].hash)
        if rejected is not None:
            raise ProjectionError(self.name, rejected.position, rejected.reason) from rejected

    def begin_rebuild(self) -> None:
        """Start from nothing, in memory; the directory stays as it is until the end."""
        log_id = self._opened.manifest.log_id
        format_ = self._content.companion
        companion = None if format_ is None else format_.empty(log_id)
        self._rebuild = _Rebuild(Cursor(log_id, 0, b""), companion)

    def finish_rebuild(self) -> None:
        """Write the differences between the directory and what was rebuilt, and publish."""
        with self._using() as live:
            done = self._rebuild
            if done is None:
                return
            claims = done.claims.copy()
            claims.touched = claims.files.keys() | live.manifest.files.keys()
            try:
                self._bring(
                    live,
                    claims,
                    done.contents,
                    done.cursor,
                    done.companion,
                    whole=self._redacted,
                )
            except RejectedError as error:
                raise ProjectionError(self.name, error.position, error.reason) from error
            self._rebuild, self.outdated, self._redacted = None, False, False

    def close(self) -> None:
        """Give the directory up; drop an unfinished rebuild. May be called again.

        Writes the manifest whole where it can: the journal says the same.
        """
        live, self._live, self._rebuild = self._live, None, None
        if live is not None:
            with suppress(OSError, StorageError):
                if live.tree.is_owned:
                    live.tree.check()
                    live.compact()
            with suppress(OSError):
                live.tree.remove(OWNER)
            live.tree.close()
        generations, self._generations = self._generations, None
        if generations is not None:
            generations.close()

    def damaged(self) -> Sequence[int]:
        """Return the positions of events whose file is missing or changed.

        Files whose status has not moved since they were last read are not read again. A
        missing or changed manifest is written again at once.
        """
        with self._using() as live:
            if (generations := self._generations) is not None:
                generations.expire()
            return live.damaged()

    def mend(self, events: Sequence[Event]) -> None:
        """Write the files of these events again; the position stays.

        Raises ProjectionError where an event no longer means what it meant when it was
        applied: then the directory has to be rebuilt.
        """
        with self._using() as live:
            if self._generations is not None:
                self._generations.distrust()
            claims, contents = live.claims.copy(), dict[str, bytes]()
            places = live.places()
            for event in events:
                if (place := places.get(event.position)) is None:
                    continue
                change = self._meaning(event, place)
                if change.content is None:
                    claims.take({place.key: None})
                else:
                    contents[place.key] = change.content
                    claims.touched.add(place.path)
            live.bring(claims, contents, live.manifest.cursor, live.companion, stop=False)

    def strangers(self) -> Sequence[str]:
        """Return the paths in the directory that are not ours, sorted; they are left alone.

        A directory without anything in it ends in ``/``; links are not followed.
        """
        with self._using() as live:
            return live.strangers()

    @property
    def has_journal(self) -> bool:
        """Whether manifest and companion on disk are older than what is published."""
        return self._live is not None and self._live.has_journal

    def compact(self) -> None:
        """Write manifest and companion whole, for versions that do not know the journal.

        A ProjectionRunner calls this a second after a journal was begun.
        """
        with self._using() as live:
            live.compact()

    @property
    def _opened(self) -> LiveTree:
        if self._live is None:
            raise StoreClosedError(f"projection {self.name!r} is not open")
        return self._live

    @contextmanager
    def _using(self) -> Iterator[LiveTree]:
        live = self._opened
        with translate_errors(str(self.root)):
            live.tree.check()
            if self._generations is not None:
                self._generations.check()
            try:
                yield live
            finally:
                self._opened.tree.release()

    def _advance(self, live: LiveTree, events: Sequence[Event], cursor: Cursor) -> None:
        rebuild = self._rebuild
        claims = (live if rebuild is None else rebuild).claims.copy()
        companion = (live if rebuild is None else rebuild).companion
        contents = {} if rebuild is None else rebuild.contents.copy()
        # What a rebuild reads was redacted before it began.
        erase = rebuild is None
        try:
            fold(claims, contents, events, self._content, stop=self._stop, erase=erase)
            if companion is not None:
                companion = companion.after(events, cursor)
        except OutdatedError as error:
            self._redacted = True
            raise OutdatedViewError(self.name, error.position) from error
        if rebuild is None:
            # A journal would leave what was redacted in the files that it continues.
            whole = any(read_redaction(event) is not None for event in events)
            self._bring(live, claims, contents, cursor, companion, whole=whole)
        else:
            rebuild.claims, rebuild.contents, rebuild.cursor = claims, contents, cursor
            rebuild.companion = companion

    def _bring(
        self,
        live: LiveTree,
        claims: Claims,
        contents: Mapping[str, bytes],
        cursor: Cursor,
        companion: Companion | None,
        *,
        whole: bool = False,
    ) -> None:
        """Publish the next state: in the directory, or in a generation of its own."""
        generations = self._generations
        if generations is None or (generations.is_published and not live.changes_files(claims)):
            live.bring(claims, contents, cursor, companion, stop=self._stop, whole=whole)
        else:
            following = generations.begin(live)
            try:
                following.bring(claims, contents, cursor, companion, stop=self._stop, whole=whole)
                generations.publish(following)
            finally:
                if generations.is_current():
                    self._live = following
                    generations.leave(live)
                else:
                    generations.drop(following)
        if generations is not None and whole:
            generations.erase()

    def _meaning(self, event: Event, place: Place) -> FileChange:
        """Return what ``event`` means today, if that is what it meant when it was applied."""
        try:
            change = read_change(event, self._content)
        except ValueError as error:
            raise ProjectionError(self.name, event.position, str(error)) from error
        if change is not None and change.key == place.key:
            if change.path is None and event.redacted:
                return change
            digest = sha256(change.content or b"").hexdigest()
            if change.path == place.path and digest == place.sha256:
                return change
        raise ProjectionError(
            self.name, event.position, "it does not mean what it meant: rebuild the projection"
        )


def _before(events: Sequence[Event], rejected: RejectedError) -> Sequence[Event]:
    """Return the whole commits before the rejected one, as far as their end is known."""
    commit = min((e.commit for e in events if e.commit >= rejected.commit), default=0)
    end = len(events)
    while end and (
        events[end - 1].commit >= commit or events[end - 1].commit != events[end - 1].position
    ):
        end -= 1
    return events[:end]
