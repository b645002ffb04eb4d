"""What every rule format promises: a suite for those who write one."""

from __future__ import annotations

from typing import Final

import pytest

from eventstore.system.extras import needs_extra
from projections.rules.formats import ParsedRule, RuleFormat, RuleFormatError, is_rule_file

with needs_extra("testing", "RuleFormatContract"):
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

SCRATCH: Final = [
    ".x.yml.swp",
    ".x.yml.swx",
    "4913",
    "x.yml~",
    "#x.yml#",
    ".#x.yml",
    ".hidden.yml",
    ".goutputstream-AB12CD",
    "x.yml___jb_tmp___",
    "x.yml___jb_old___",
    ".",
    "..data",
    "x.yml.bak",
    "x.yml.orig",
    "x.yml.save.1",
    "x.yml.swp",
    "x.yml.vsctmp",
    "x.yml.tmp",
    "x.yml.tmp.4711",
    "sedAb3dE9",
    "new.yar.filepart",
    "new.yar.part",
    "new.yar.crdownload",
    "new.yar.PARTIAL",
    "x.yml.dpkg-new",
    "x.yml.rpmsave",
    "x.yml.pacnew",
    "x.yml.r12",
    "x_BACKUP_4711.yml",
    ".x.yml.aB3xYz",
    ".syncthing.x.yml.tmp",
    "~syncthing~x.yml.tmp",
    ".nfs0000000001",
    "~$rules.docx",
    "Thumbs.db",
    "Desktop.ini",
    "Icon\r",
]
"""Names of files that editors, transfers and operating systems leave behind."""


class RuleFormatContract:
    """Subclass it as ``class TestMine(RuleFormatContract)``, with a fixture ``rule_format``.

    A fixture ``good_file`` may give a path and the content of a file that is a rule.
    """

    @pytest.fixture
    def rule_format(self) -> RuleFormat:
        """Give the format: to be overridden."""
        raise NotImplementedError("override the fixture rule_format")

    @pytest.fixture
    def good_file(self) -> tuple[str, bytes] | None:
        """Give a path and the content of a file that is a rule: to be overridden."""
        return None

    @pytest.mark.parametrize("name", SCRATCH)
    def test_scratch_files_never_count(self, rule_format: RuleFormat, name: str) -> None:
        """What editors and transfers leave behind is no rule."""
        assert not is_rule_file(name, rule_format.filename)  # noqa: S101

    def test_a_good_file_is_a_rule_and_the_same_each_time(
        self, rule_format: RuleFormat, good_file: tuple[str, bytes] | None
    ) -> None:
        """Equal content under an equal path gives an equal rule, whose file counts."""
        if good_file is None:
            pytest.skip("no fixture good_file gives a file that is a rule")
        path, content = good_file
        assert is_rule_file(path.rpartition("/")[2], rule_format.filename)  # noqa: S101
        self._check(rule_format, path, content)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=120) | st.text(max_size=120).map(str.encode))
    def test_any_content_is_a_live_rule_or_a_typed_refusal(
        self, rule_format: RuleFormat, content: bytes
    ) -> None:
        """A file never raises anything but RuleFormatError, which names it."""
        refusal = "folder/r.yml:"
        try:
            self._check(rule_format, "folder/r.yml", content)
        except RuleFormatError as error:
            refusal = str(error)
        assert refusal.startswith("folder/r.yml:")  # noqa: S101

    @staticmethod
    def _check(rule_format: RuleFormat, path: str, content: bytes) -> None:
        rule: ParsedRule = rule_format.read(path, content)
        assert not rule.compiled.removed  # noqa: S101
        assert rule.compiled.rule_id == rule.rule_id  # noqa: S101
        assert rule_format.read(path, content) == rule  # noqa: S101
