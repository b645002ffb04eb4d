"""Packages join the command line by their manifests, and a broken one stops nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import Run, environment, runner
from support.stranger import MANIFEST, install

if TYPE_CHECKING:
    from pathlib import Path

Extra = dict[str, str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in an interpreter of its own: packages are found when it starts."""
    return runner(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def acme(site: Path) -> Extra:
    """Give an environment in which a stranger's package is installed."""
    return install(site, "acme", MANIFEST)


@pytest.mark.slow
def test_a_strangers_command_is_listed_and_runs(run: Run, acme: Extra) -> None:
    listed = run("--help", **acme)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(r"^Orders:\n  orders +Count the orders\.$", listed.stdout, re.MULTILINE)
    shown = run("orders", "--help", **acme).stdout
    assert "Count the orders of a shop." in shown
    assert "--url" in shown
    none = run("orders", "north", **acme)
    assert (none.returncode, none.stdout) == (3, "north has 0 orders\n")
    done = run("orders", "north", "--place", "--json", "--url", "sqlite:///o.db", **acme)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"orders": 1})


@pytest.mark.slow
def test_its_events_are_said_in_its_words(run: Run, acme: Extra) -> None:
    run("orders", "north", "--place", **acme)
    assert run("tail", "--no-follow", **acme).stdout.endswith("  placed    for 12\n")
    assert run("history", "north", **acme).stdout.endswith("  placed    for 12\n")
    assert "Placed    order/north" in run("tail", "--no-follow").stdout


@pytest.mark.slow
def test_its_section_of_status_is_shown_and_checked(run: Run, acme: Extra) -> None:
    run("orders", "north", "--place", **acme)
    assert "shop north: open" in run("status", **acme).stdout
    facts = json.loads(run("status", "--json", **acme).stdout)
    assert [shop["name"] for shop in facts["shops"]] == ["north", "south"]
    assert facts["sources"] == []
    well = run("status", "--shop", "north", **acme)
    assert (well.returncode, well.stdout) == (0, "shop north: open\n")
    bad = run("status", "--shop", "south", "--shop", "west", **acme)
    assert bad.returncode == 1
    assert bad.stderr == "error: shop 'south': is shut; shop 'west' is missing\n"


@pytest.mark.slow
def test_its_projection_is_rebuilt_and_its_checkpoints_are_verified(run: Run, acme: Extra) -> None:
    run("orders", "north", "--place", **acme)
    done = run("rebuild", "totals", **acme)
    assert (done.returncode, done.stdout) == (0, "totals in here is rebuilt, at position 7\n")
    assert run("rebuild", "totals", "--to", "x", **acme).returncode == 2
    checked = run("verify", "--view", "acme://shop", **acme)
    assert checked.returncode == 1
    assert "view 'totals' in acme://shop" in checked.stdout
    unknown = run("verify", "--view", "acme://shop")
    assert "is of no kind that is known: a directory, sqlite://" in unknown.stdout


@pytest.mark.slow
def test_its_events_stay_in_a_trim_beside_those_of_rules(run: Run, acme: Extra) -> None:
    run("orders", "north", "--place", **acme)
    run("state", "R1", "disabled")
    run("orders", "north", "--place", **acme)
    done = run("trim", "--before", "4", "--json", **acme)
    assert json.loads(done.stdout)["kept"] == 3
    assert run("orders", "north", **acme).stdout == "north has 2 orders\n"


BROKEN = (
    "raise RuntimeError('\\x1b[31mboom')",
    "import not_there_at_all",
    "raise SystemExit(3)",
    "MANIFEST = {}",
    "from eventstore.cli.manifest import *\nMANIFEST = Manifest(title='')",
    "from eventstore.cli.manifest import *\nMANIFEST = Command('Loud Name', 'x', 'a:b')",
    "from eventstore.cli.manifest import *\nMANIFEST = Manifest(title='x', commands=[1])",
    "syntax error",
)


def test_a_broken_manifest_is_one_line_and_the_rest_works(run: Run, site: Path) -> None:
    extra = install(site, "acme", MANIFEST)
    for number, broken in enumerate(BROKEN):
        install(site, f"broken{number}", broken)
    done = run("orders", "north", "--place", **extra)
    assert (done.returncode, done.stdout) == (0, "north has 1 orders\n")
    warnings = done.stderr.splitlines()
    assert len(warnings) == len(BROKEN)
    for number, warning in enumerate(warnings):
        said = (
            f" WARNING  distribution 'broken{number}-things': its manifest broken{number}.manifest"
        )
        assert said in warning
    assert "\x1b" not in done.stderr
    refused = run("trim", "--before", "99", **extra)
    assert refused.returncode == 1
    assert "'broken0-things'" in refused.stderr.splitlines()[len(BROKEN)]


@pytest.mark.slow
def test_code_that_fails_is_one_line_that_names_the_distribution(run: Run, site: Path) -> None:
    broken = install(site, "acme", MANIFEST, "import not_there_at_all")
    run("state", "R1", "disabled")
    assert "orders" in run("--help", **broken).stdout
    for words in (
        ["orders"],
        ["orders", "--help"],
        ["rebuild", "totals"],
        ["trim", "--before", "9"],
    ):
        done = run(*words, **broken)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: distribution 'acme-things': acme.code:")
        assert done.stderr.count("\n") == 1
    done = run("status", **broken)
    assert done.returncode == 0
    assert " WARNING  section 'shops' of status: distribution 'acme-things'" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("empty_log")
def test_the_first_of_two_commands_of_one_name_stays(run: Run, site: Path) -> None:
    taken = MANIFEST.replace('"orders"', '"rules"').replace('"--shop"', '"--source"')
    install(site, "zeta", MANIFEST.replace("acme.code", "zeta.code"))
    extra = install(site, "acme", taken)
    done = run("rules", **extra)
    assert done.returncode == 0
    assert done.stdout.startswith("no rules yet")
    warnings = done.stderr.splitlines()
    assert warnings[0].endswith(
        " WARNING  distribution 'acme-things': the command 'rules' is left out, for 'ruletide' has "
        "one of that name"
    )
    assert "the section of status 'shops' is left out" in warnings[1]
    assert "distribution 'zeta-things': the event type 'Placed' is left out" in warnings[2]
    assert run("orders", "north", **extra).returncode == 3


MODULES = """
import sys
from eventstore.cli import main
try:
    main()
except SystemExit as end:
    print("\\n".join(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("completing", [False, True])
def test_help_and_completion_import_manifests_alone(
    acme: Extra, tmp_path: Path, completing: bool
) -> None:
    words: Extra = {"_EVENTSTORE_COMPLETE": "complete_bash", "COMP_WORDS": "eventstore o",
                    "COMP_CWORD": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MODULES, "--help"],
        env=environment(**acme, **(words if completing else {})),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "orders" in done.stdout
    loaded = done.stderr.split()
    own = {name for name in loaded if name.partition(".")[0] in {"projections", "acme"}}
    assert own == {"projections", "projections.cli", "projections.cli.manifest",
                   "acme", "acme.manifest"}  # fmt: skip
    assert NEEDS_NO_LOG & set(loaded) == set()


NEEDS_NO_LOG = {
    "anyio", "asyncio", "eventstore.cli.session", "eventstore.log.events", "eventstore.store",
    "hypothesis", "projections.rules.formats", "projections.rules.sources.sync", "psycopg",
    "pydantic", "pygments", "redis", "rich", "sigma", "sqlalchemy", "sqlite3", "uuid_utils",
    "watchfiles", "yaml",
}  # fmt: skip
"""What a command does not need that opens no log; tests/cli/test_imports.py has the others."""


def test_the_version_imports_what_it_uses(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODULES, "--version"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "eventstore.cli.app" in loaded
    assert NEEDS_NO_LOG & loaded == set()


@pytest.mark.slow
@pytest.mark.usefixtures("empty_log")
def test_the_log_has_a_command_line_without_any_other_package(run: Run, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "sitecustomize.py").write_text(
        "import eventstore.system.entry_points as m\nm.find_entry_points = lambda _: []\n"
    )
    extra = {"PYTHONPATH": f"{environment()['PYTHONPATH']}{os.pathsep}{alone}"}
    for words in (["--help"], ["status"], ["tail", "--no-follow"], ["rebuild", "rules"]):
        done = run(*words, **extra)
        assert done.returncode == (1 if "rebuild" in words else 0), done.stderr
        assert "Rules and projections" not in done.stdout
