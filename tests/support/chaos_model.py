"""The editing script of a directory of rules, and what must stand according to it alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Text:
    """The content of a file: a rule with an id, or without one no rule at all."""

    rule_id: str | None
    content: str

    @property
    def sha256(self) -> str:
        return sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Standing:
    """A rule that stands, as the file at ``path`` said when it was last good."""

    path: str
    text: Text


def write_text(rule_id: str | None, number: int) -> Text:
    """Return a text that no other number gives.

    All are of one length, so that a write in place leaves at no moment a mixture of two.
    """
    confidence = "0.5" if rule_id else "NO!"
    text = (
        f"rule_id: {rule_id or 'Rxxxxx'}\nrule_version: 1\nname: edit {number:06}\n"
        "applies_to: [process]\nmatch: {image: cmd.exe}\n"
        f"emits: [{{tactic: execution, technique_id: T1059, confidence: {confidence}}}]\n"
    )
    return Text(rule_id, text)


class Script:
    """Every edit in its order, recorded in a file, and the state that follows from them.

    The editor breaks a file, or gives it an id that is taken, only once the log has its last
    good content: what must stand is then the same for every order of scans and kills.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self.edits = 0
        self.files: dict[str, Text] = {}
        self.rules: dict[str, Standing] = {}
        self.been: set[tuple[str, str]] = set()

    def put(self, path: str, text: Text) -> None:
        """Say that a file has been given a content."""
        self._step(put=path, **asdict(text))
        self.files[path] = text

    def gone(self, path: str) -> None:
        """Say that a file has been deleted."""
        self._step(gone=path)
        del self.files[path]

    def moved(self, paths: dict[str, str]) -> None:
        """Say that files have been renamed, all at once."""
        self._step(moved=paths)
        for old, new in paths.items():
            self.files[new] = self.files.pop(old)

    def settled(self) -> None:
        """Work out what stands now that a step is complete."""
        self.been |= {(path, text.sha256) for path, text in self.files.items()}
        stood, self.rules = self.rules, {}
        for rule_id, paths in self._claims().items():
            self.rules[rule_id] = self._give(rule_id, paths, stood.get(rule_id))
        owners = {rule.path for rule in self.rules.values()}
        for rule_id, rule in stood.items():
            # A file that is there but rejected keeps the rule that it defined when it was good.
            if rule_id not in self.rules and rule.path in self.files.keys() - owners:
                self.rules[rule_id] = rule

    @property
    def rejected(self) -> dict[str, str]:
        """The hash of each file that is rejected: broken, or with an id that is taken."""
        good = {(rule.path, rule.text) for rule in self.rules.values()}
        return {p: text.sha256 for p, text in self.files.items() if (p, text) not in good}

    @property
    def contested(self) -> set[str]:
        """The paths of rules whose id another file claims as well."""
        wanted = {self.files[path].rule_id for path in self.rejected}
        return {rule.path for rule_id, rule in self.rules.items() if rule_id in wanted}

    def _step(self, **step: object) -> None:
        self.edits += 1
        with self._record.open("a") as record:
            record.write(json.dumps(step) + "\n")

    def _claims(self) -> dict[str, list[str]]:
        claims: dict[str, list[str]] = {}
        for path, text in self.files.items():
            if text.rule_id is not None:
                claims.setdefault(text.rule_id, []).append(path)
        return claims

    def _give(self, rule_id: str, paths: list[str], stood: Standing | None) -> Standing:
        if stood is None or stood.path not in self.files:
            return Standing(min(paths), self.files[min(paths)])
        if self.files[stood.path].rule_id is None:
            return stood  # Broken, it keeps its id until it is mended or goes.
        path = stood.path if stood.path in paths else min(paths)
        return Standing(path, self.files[path])
