"""Hooks of the documentation site: pages from outside ``docs/``, and nothing from other hosts.

Documents link to each other as they do in the repository. Here those that lie outside ``docs/``
become pages or files of the site, and the links are rewritten to them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Documents of the repository's root, and the pages that they become."""
COPIES: Final = "repository"
"""The folder of the site for linked files of the repository that are no pages."""
LINK: Final = re.compile(r"(?<!!)(\[[^\]]*\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(\))")
ROLE: Final = re.compile(
    r":(?:class|meth|func|data|mod|exc|attr|ref):(<code>)~?(?:\w+\.)*(\w+</code>)"
)
"""A reference in a docstring as Sphinx writes it; the page shows the bare name."""
FOREIGN: Final = re.compile(
    r"""<(?:script|img|iframe|link(?![^>]*canonical))\b[^>]*\s(?:src|href)="?(?:https?:)?//[^>]*"""
)
"""A tag that makes a page load something from another host."""


def site_path(target: str) -> str:
    """Return where a file of the repository is in the site's sources."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return PAGES.get(target, f"{COPIES}/{target}")


def repository_path(uri: str) -> str:
    """Return which file of the repository a source of the site is."""
    pages = {page: name for name, page in PAGES.items()}
    return pages.get(uri, f"docs/{uri}")


def linked(text: str, origin: str) -> set[str]:
    """Return the files of the repository that a document at ``origin`` links to."""
    folder = posixpath.dirname(origin)
    return {posixpath.normpath(posixpath.join(folder, found[2])) for found in LINK.finditer(text)}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from the repository's root, and the files that documents link to."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    documents = [repository_path(file.src_uri) for file in files.documentation_pages()]
    targets = {target for one in documents for target in linked((ROOT / one).read_text(), one)}
    for target in sorted(targets):
        here = site_path(target)
        if here.startswith(COPIES) and (ROOT / target).is_file():
            place = str(ROOT / target)
            level = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, here, abs_src_path=place, inclusion=level))
    config.nav = [expand(entry, files) for entry in config.nav or ()]
    return files


def expand(entry: Any, files: Files) -> Any:
    """Replace a folder in the navigation by its pages, the index first."""
    if isinstance(entry, dict):
        return {title: expand(value, files) for title, value in entry.items()}
    if isinstance(entry, list):
        return [expand(one, files) for one in entry]
    if not entry.endswith("/"):
        return entry
    pages = [file.src_uri for file in files.documentation_pages()]
    mine = sorted(uri for uri in pages if uri.startswith(entry))
    return sorted(mine, key=lambda uri: not uri.endswith("README.md"))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrite links from the repository's layout to the site's."""
    here = page.file.src_uri
    origin = here.removeprefix(f"{COPIES}/") if here.startswith(COPIES) else repository_path(here)

    def rewrite(found: re.Match[str]) -> str:
        folder = posixpath.dirname(origin)
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        place = posixpath.relpath(site_path(target), posixpath.dirname(here) or ".")
        return f"{found[1]}{place}{found[3] or ''}{found[4]}"

    return LINK.sub(rewrite, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Show Sphinx's roles in docstrings as the names that they refer to."""
    return ROLE.sub(r"\1\2", html)


def on_post_build(config: MkDocsConfig) -> None:
    """Fail where a page would load something from another host."""
    pages = sorted(Path(config.site_dir).rglob("*.html"))
    if not pages:
        raise PluginError("the site has no pages")
    for page in pages:
        if found := FOREIGN.search(page.read_text()):
            raise PluginError(f"{page} loads from another host: {found[0]}")
