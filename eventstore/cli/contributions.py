"""What the installed packages add to the command line, collected from their manifests.

The log's own manifest comes first, then those of this distribution, then all others in the order
of their names. A manifest that cannot be used, and each name that two manifests give, is one
warning; the rest works.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from eventstore.cli import log_manifest
from eventstore.cli.manifest import GROUP, Manifest
from eventstore.system.entry_points import find_entry_points, import_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.cli import manifest as kinds
    from eventstore.system.entry_points import EntryPoint

DISTRIBUTION: Final = "ruletide"
"""The distribution whose names win over those of others."""

STATUS_OPTIONS: Final = frozenset(
    {
        "--consumer",
        "--all-consumers",
        "--within",
        "--strict",
        "--url",
        "--json",
        "--verbose",
        "--utc",
        "--log-format",
        "--help",
    }
)
"""Options that ``status`` has itself."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contribution(Generic[T]):
    """One item of a manifest, with the distribution and the title of its manifest."""

    item: T
    distribution: str
    title: str

    def load(self, path: str) -> Any:
        """Import what a path of the item names.

        Raises ConfigError, which names the distribution, for anything that goes wrong.
        """
        return import_path(self.distribution, path)


@dataclass(slots=True)
class Contributions:
    """Everything that manifests add, each name once, in the order in which it is offered."""

    commands: dict[str, Contribution[kinds.Command]] = field(default_factory=dict)
    event_lines: dict[tuple[str, str], Contribution[kinds.EventLines]] = field(default_factory=dict)
    status_sections: dict[str, Contribution[kinds.StatusSection]] = field(default_factory=dict)
    rebuilds: dict[str, Contribution[kinds.Rebuild]] = field(default_factory=dict)
    checkpoints: dict[str, Contribution[kinds.Checkpoints]] = field(default_factory=dict)
    log_checks: list[Contribution[kinds.LogCheck]] = field(default_factory=list)
    routes: list[Contribution[kinds.Routes]] = field(default_factory=list)
    metrics: dict[str, Contribution[kinds.MetricsGroup]] = field(default_factory=dict)
    views: dict[str, Contribution[kinds.View]] = field(default_factory=dict)
    view_rebuilds: list[Contribution[kinds.ViewRebuild]] = field(default_factory=list)
    history_categories: list[str] = field(default_factory=list)
    tail_companions: list[Contribution[kinds.TailCompanion]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, manifest: Manifest, distribution: str) -> None:
        """Take in a manifest; a name that is taken stays with its first owner."""

        def of(item: T) -> Contribution[T]:
            return Contribution(item, distribution, manifest.title)

        self._put_all(self.commands, map(of, manifest.commands), "the command")
        for lines in manifest.event_lines:
            for name in lines.types:
                self._put(self.event_lines, (name, lines.streams), of(lines), "the event type")
        for section in manifest.status_sections:
            self._put_section(section, of(section))
        self._put_all(self.rebuilds, map(of, manifest.rebuilds), "the projection")
        for checkpoints in manifest.checkpoints:
            for scheme in checkpoints.schemes:
                self._put(self.checkpoints, scheme, of(checkpoints), "the scheme")
        self.log_checks += [of(check) for check in manifest.log_checks]
        self.routes += [of(routes) for routes in manifest.routes]
        self._put_all(self.metrics, map(of, manifest.metrics), "the metrics")
        self._put_all(self.views, map(of, manifest.views), "the view")
        self.view_rebuilds += [of(one) for one in manifest.view_rebuilds]
        self.history_categories += manifest.history_categories
        self.tail_companions += [of(one) for one in manifest.tail_companions]

    def _put_section(
        self, section: kinds.StatusSection, contribution: Contribution[kinds.StatusSection]
    ) -> None:
        options = {one.item.check_option for one in self.status_sections.values()}
        if section.check_option and section.check_option in options | STATUS_OPTIONS:
            self.warnings.append(
                f"distribution {contribution.distribution!r}: the section of status "
                f"{section.name!r} is left out, for its option {section.check_option} is taken"
            )
        else:
            self._put(self.status_sections, section.name, contribution, "the section of status")

    def _put_all(
        self, table: dict[str, Contribution[T]], new: Iterable[Contribution[T]], what: str
    ) -> None:
        for one in new:
            self._put(table, one.item.name, one, what)  # type: ignore[attr-defined]

    def _put(
        self, table: dict[Any, Contribution[T]], key: object, new: Contribution[T], what: str
    ) -> None:
        taken = table.setdefault(key, new)
        if taken is not new:
            name = key[0] if isinstance(key, tuple) else key
            self.warnings.append(
                f"distribution {new.distribution!r}: {what} {name!r} is left out, for "
                f"{taken.distribution!r} has one of that name"
            )


@cache
def contributions() -> Contributions:
    """Return what all installed manifests add; read once per process."""
    found = Contributions()
    found.add(log_manifest.MANIFEST, DISTRIBUTION)
    for entry in _entries():
        distribution = entry.distribution
        try:
            manifest = entry.load()
            if not isinstance(manifest, Manifest):
                raise TypeError(f"{entry.value} is no Manifest")  # noqa: TRY301
        except (Exception, SystemExit) as error:
            found.warnings.append(
                f"distribution {distribution!r}: its manifest {entry.value} cannot be used: "
                f"{type(error).__name__}: {error}"
            )
        else:
            found.add(manifest, distribution)
    return found


def _entries() -> list[EntryPoint]:
    def key(entry: EntryPoint) -> tuple[bool, str, str]:
        return entry.distribution != DISTRIBUTION, entry.distribution, entry.name

    return sorted(find_entry_points(GROUP), key=key)
