"""The built site loads nothing from the network, for a board may have none.  A hook of mkdocs; see ``mkdocs.yml``."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any, List

from mkdocs.exceptions import PluginError

__all__ = ["loads", "on_post_build"]

# What a browser fetches by itself: a link that somebody has to click is none of these.
_TAG = re.compile(r"<(?:script|img|iframe|source|video|audio|link)\b[^>]*?"
                  r"\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
_CSS = re.compile(r"(?:url\([\"']?|@import\s+[\"'])((?:https?:)?//[^\"')\s]+)")
# The theme's script fetches these for pages with a diagram, of which there are none, and for browsers older than 2020.
_FALLBACK = re.compile(r"https://unpkg\.com/[\w@./-]+")
_EMPTY_SCRIPT = "data:text/javascript,"


def on_post_build(config: Any, **kwargs: Any) -> None:
    """
    :raises PluginError: with the pages that would load something
    """
    site = Path(config["site_dir"])
    for script in site.glob("assets/javascripts/*.js"):
        text = script.read_text(encoding="utf-8")
        script.write_text(_FALLBACK.sub(_EMPTY_SCRIPT, text), encoding="utf-8")
    found = loads(site)
    if found:
        raise PluginError("the site would load from the network:\n" + "\n".join(found))


def loads(site: Path) -> List[str]:
    """``page: address`` for all that the pages would load from elsewhere."""
    found = []
    for path in sorted(site.rglob("*")):
        pattern = {".html": _TAG, ".css": _CSS}.get(path.suffix)
        if pattern is not None:
            text = path.read_text(encoding="utf-8")
            found += ["%s: %s" % (path.relative_to(site), address) for address in pattern.findall(text)]
    return found
