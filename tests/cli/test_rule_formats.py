"""Rule formats of other packages: known once installed, and never able to stop a command."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, Run, runner
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

EXAMPLE = REPOSITORY / "examples" / "rule_format_yara"
YARA = 'rule {name} : linux pe {{\n  meta: description = "of {name}"\n  condition: true\n}}\n'
FORMAT = """
import re


class Format:
    name = "acme"
    filename = re.compile(r".*[.]acme")

    def read(self, path, content):
        {read}
"""


def install(site: Path, name: str, module: str, entry_points: dict[str, str]) -> None:
    """Put a distribution of one module into a folder, as pip would."""
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").touch()
    metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{entry} = {value}\n" for entry, value in entry_points.items())
    (metadata / "entry_points.txt").write_text(f"[eventstore.rule_formats]\n{lines}")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def run(tmp_path: Path, site: Path) -> Run:
    """Run a command in an interpreter of its own: packages are found when it starts."""
    return runner(tmp_path, PYTHONPATH=os.pathsep.join((str(REPOSITORY), str(site))))


@pytest.fixture
def yara(site: Path) -> None:
    """Install the example package."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    entry_points = project["entry-points"]["eventstore.rule_formats"]
    install(site, project["name"], "rule_format_yara", entry_points)
    shutil.copy(EXAMPLE / "rule_format_yara.py", site)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(
        tmp_path / "rules",
        {
            "a.yar": YARA.format(name="A"),
            "sub/b.YARA": "// rule Not {\n" + YARA.format(name="B"),
            "index.txt": "",
        },
    )


@pytest.mark.usefixtures("yara")
def test_an_installed_format_is_checked_and_synced(run: Run, root: Path) -> None:
    checked = run("check", "rules", "--format", "yara")
    assert (checked.returncode, checked.stdout) == (0, "2 rules are good; 1 ignored\n")
    synced = run("--json", "sync", "rules", "--once", "--format", "yara")
    assert synced.returncode == 0, synced.stderr
    counts = json.loads(synced.stdout)
    assert (counts["defined"], counts["rejected"], counts["ignored"]) == (2, 0, 1)
    rules = [json.loads(line) for line in run("--json", "rules").stdout.splitlines()]
    assert sorted(rule["rule_id"] for rule in rules) == ["A", "B"]
    assert run("status").returncode == 0


@pytest.mark.usefixtures("yara")
def test_its_faults_are_findings_with_a_line(run: Run, root: Path) -> None:
    two = YARA.format(name="C") + YARA.format(name="D")
    fill(root, {"two.yar": two, "none.yar": "// none\n", "half.yar": "rule E {\n}\n"})
    done = run("check", "rules", "--format", "yara")
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [
        "rules/half.yar:1: rule E has no condition",
        "rules/none.yar: contains no rule",
        "rules/two.yar:5: a second rule starts here: give it a file",
    ]


@pytest.mark.usefixtures("yara")
def test_help_and_completion_name_an_installed_format(run: Run) -> None:
    assert "yara" in run("check", "--help", COLUMNS="200").stdout
    completed = run(
        COMP_WORDS="eventstore check --format y",
        COMP_CWORD="3",
        _EVENTSTORE_COMPLETE="complete_bash",
    )
    assert completed.stdout.split() == ["yara"]


def test_a_format_that_is_not_installed_is_wrong_usage(run: Run, root: Path) -> None:
    done = run("check", "rules", "--format", "yara")
    assert done.returncode == 2
    assert "raw, sigma, ttp" in done.stderr


BROKEN = {
    "cannot be imported": "raise RuntimeError('of\\nits own')",
    "ends the process": "raise SystemExit(7)",
    "has no such name": "",
    "is no format": "Format = 17",
    "lacks a pattern": "class Format:\n    name, filename = 'acme', 'x'\n    def read(self): ...",
    "has another name": FORMAT.format(read="...").replace('"acme"', '"other"'),
    "fails when made": "def Format(): raise ValueError",
    "fails when asked": "class Format:\n    def __init__(self): raise OSError(5, 'x')",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_broken_format_is_one_line_that_names_its_distribution(
    run: Run, site: Path, tmp_path: Path, code: str
) -> None:
    install(site, "acme-things", "acme", {"acme": "acme:Format"})
    (site / "acme.py").write_text(code)
    fill(tmp_path / "rules", {"a.yml": ttp("A")})
    done = run("check", "rules")
    assert (done.returncode, done.stdout) == (0, "1 rule is good\n")
    (line,) = done.stderr.splitlines()
    assert "distribution 'acme-things'" in line


def test_a_broken_format_that_is_asked_for_is_an_error_in_words(
    run: Run, site: Path, root: Path
) -> None:
    install(site, "acme-things", "acme", {"acme": "acme:Format"})
    asked = run("check", "rules", "--format", "acme")
    assert asked.returncode in {1, 2}
    assert "Traceback" not in asked.stderr
    assert "unknown rule format 'acme'" in asked.stderr


def test_a_name_that_is_taken_stays_with_its_owner(run: Run, site: Path, tmp_path: Path) -> None:
    install(site, "acme-things", "acme", {"ttp": "acme:Format"})
    (site / "acme.py").write_text(FORMAT.format(read="...").replace('"acme"', '"ttp"'))
    fill(tmp_path / "rules", {"a.yml": ttp("A")})
    done = run("check", "rules")
    assert (done.returncode, done.stdout) == (0, "1 rule is good\n")
    assert "'acme-things'" in done.stderr
    assert "registered already" in done.stderr


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        ("raise KeyError('what')", "failed on it: KeyError: 'what'"),
        ("raise RuntimeError('two\\nlines')", "failed on it: RuntimeError: two lines"),
        ("raise SystemExit(3)", "failed on it: SystemExit: 3"),
        ("return self.read(path, content)", "failed on it: RecursionError"),
        ("return None", "failed on it: TypeError: read() returned None"),
    ],
)
def test_an_exception_in_a_parser_rejects_that_file_only(
    run: Run, site: Path, tmp_path: Path, read: str, reason: str
) -> None:
    install(site, "acme-things", "acme", {"acme": "acme:Format"})
    good = "if b'good' in content:\n            from projections.rules.formats import RawFormat\n"
    (site / "acme.py").write_text(
        FORMAT.format(
            read=f"{good}            return RawFormat().read(path, content)\n        {read}"
        )
    )
    fill(tmp_path / "rules", {"a.acme": "good", "b.acme": "bad", "c.acme": "good too"})
    done = run("check", "rules", "--format", "acme")
    assert done.returncode == 1
    assert done.stdout.startswith(f"rules/b.acme: the format 'acme' {reason}")
    assert done.stderr == "1 finding; 2 rules are good\n"
    synced = json.loads(run("--json", "sync", "rules", "--once", "--format", "acme").stdout)
    assert (synced["defined"], synced["rejected"]) == (2, 1)


def test_the_example_says_what_an_engine_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yara = importlib.import_module("rule_format_yara").YaraFormat()
    rule = yara.read("x/a.yar", YARA.format(name="A").encode()).compiled
    assert rule.rule_id == "A"
    assert rule.applies_to == {"linux", "pe"}
    assert rule.description == "of A"
