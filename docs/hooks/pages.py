"""Pages that show a file beside the code, and links that hold in the repository and in the site.  A hook of mkdocs; see
``mkdocs.yml``.

A page with ``<!-- shows FILE -->`` becomes that file.  A link to such a file becomes one to its page, and a link to any
other file outside ``docs/`` becomes plain text, for the site has no such page.
"""
from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any, Dict

__all__ = ["on_page_markdown"]

_SHOWS = re.compile(r"^<!-- shows ([\w./-]+) -->", flags=re.M)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **kwargs: Any) -> str:
    docs = Path(config["docs_dir"])
    root = docs.parent
    shown = _SHOWS.search(markdown)
    source = page.file.src_uri if shown is None else os.path.join("..", shown.group(1))
    if shown is not None:
        markdown = (root / shown.group(1)).read_text(encoding="utf-8")
    pages = _pages(docs)

    def moved(link: Any) -> str:
        words, target, anchor = link.groups()
        path = posixpath.normpath(posixpath.join(docs.name, posixpath.dirname(source), target))
        path = pages.get(path, path)
        if not (root / path).exists():
            return str(link.group(0))       # the strict build tells of it
        if not path.startswith(docs.name + "/"):
            return str(words)
        here = posixpath.dirname(posixpath.join(docs.name, page.file.src_uri))
        return "[%s](%s%s)" % (words, posixpath.relpath(path, here), anchor or "")
    return _LINK.sub(moved, markdown)


def _pages(docs: Path) -> Dict[str, str]:
    """file beside the code -> the page that shows it, both from the root of the repository"""
    found = {"README.md": docs.name + "/index.md"}
    for page in docs.rglob("*.md"):
        shown = _SHOWS.search(page.read_text(encoding="utf-8"))
        if shown is not None:
            found[shown.group(1)] = page.relative_to(docs.parent).as_posix()
    return found
