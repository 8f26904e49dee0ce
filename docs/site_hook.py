"""The site's hook for MkDocs: adds the pages outside ``docs/`` and turns links between files into links of the site.

On a code host, links lead from file to file. On the site, pages of other folders have an address of their own, and
other files of the repository (programs that a page quotes) are copied to ``source/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from markdown.extensions import Extension
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from markdown import Markdown
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bridge/PROTOCOL.md": "protocol.md",
}
"""Pages that are not in ``docs/``: path in the repository, page of the site."""
PLANNED = {"in-your-build.md", "junit.md", "pytest.md"}
"""Pages with a place in the navigation, which they take when they exist."""

_SOURCES = {page: path for path, page in OUTSIDE.items()}
_LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)\s#]+)")


class _ShortIndents(Extension):
    """Lists nest at two spaces, as they do on code hosts; Python-Markdown asks for four."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Python-Markdown's
        """Set the width of an indent."""
        md.tab_length = 2


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave planned pages that do not exist out of the navigation."""
    config.nav = [
        {title: [page for page in pages if page not in PLANNED or (ROOT / "docs" / page).is_file()]}
        for group in config.nav or ()
        for title, pages in group.items()
    ]
    config.markdown_extensions.append(_ShortIndents())  # type: ignore[arg-type]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside ``docs/``, and the files of the repository to which pages link."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    linked = {
        target
        for file in files.documentation_pages()
        for target in _targets(file.src_uri, file.content_string)
        if target not in OUTSIDE and not target.startswith("docs/") and (ROOT / target).is_file()
    }
    for path in sorted(linked):
        files.append(File.generated(config, f"source/{path}", content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links of the site in place of links between files."""
    here = _path(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        return posixpath.relpath(_address(_target(here, found[1])), posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(link, markdown)


def _targets(page: str, markdown: str) -> set[str]:
    return {_target(_path(page), link) for link in _LINK.findall(markdown)}


def _path(page: str) -> str:
    """Return the path of a page's source in the repository."""
    return _SOURCES.get(page, f"docs/{page}")


def _target(path: str, link: str) -> str:
    """Return the path in the repository of the file to which a link in another file leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _address(path: str) -> str:
    """Return the address on the site of a file of the repository."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}"
