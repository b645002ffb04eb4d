"""The daily acts, one session each: ``nox -s NAME``. CONTRIBUTING.md lists them."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "imports", "unit"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, extras: str = "", *groups: str) -> None:
    """Install the project with extras and dependency groups."""
    if extras:
        session.install("-e", f".[{extras}]")
    for group in groups:
        session.install(*nox.project.dependency_groups(PROJECT, group))


def run_tests(session: nox.Session, *options: str) -> None:
    """Run pytest with these options."""
    install(session, "test")
    session.run("pytest", *options)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests: all of README's test command, or those of the paths given after ``--``."""
    run_tests(session, "-q", *(session.posargs or ["-n", "6", "--dist", "worksteal"]))


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that start no process and no server."""
    run_tests(session, "-q", "-m", "unit", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint, format, list the tests of each promise, and check the words."""
    install(session, "", "lint")
    session.run("ruff", "check", "--fix")
    session.run("ruff", "format")
    session.run("python", "-m", "scripts.list_promises")
    session.run("python", "-m", "scripts.check_words")


@nox.session
def types(session: nox.Session) -> None:
    """Check types over sources, tests, benchmarks and scripts."""
    install(session, "test,bench", "lint")
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports run one way, without a circle, and that private modules stay private."""
    install(session, "test", "lint")
    session.run("lint-imports", "--no-cache")
    session.run("python", "-m", "scripts.check_imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into ``site/``; with ``-- serve`` show it while you write."""
    install(session, "", "docs")
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]))


@nox.session
def slow(session: nox.Session) -> None:
    """Run the heavier tests, which have a lane of their own in CI."""
    run_tests(session, "-q", "-m", "slow", *(session.posargs or ["-n", "6"]))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Search a target of tests/fuzz, guided by coverage: ``-- TARGET SECONDS [CORPUS]``."""
    install(session, "test", "fuzz")
    session.env["PYTHONPATH"] = ".:tests"
    session.run("python", "-m", "fuzz.search", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long failure and load tests."""
    run_tests(session, "-m", "soak", "-s", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Drive the console in Chromium; ``npm install --prefix tests/browser`` brings axe."""
    install(session, "test", "browser")
    session.run("pytest", "-q", "-m", "browser", "tests/browser", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; benchmarks to run may be named after ``--``."""
    install(session, "test,bench")
    session.run("python", "-m", "benchmarks", *session.posargs)
