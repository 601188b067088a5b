"""Which contents are pinned: those of the published models, and of the package's own.

Knows ids of contents and nothing of what is in them.
"""
from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, FrozenSet, List

from ..locations import package_folder

__all__ = ["is_pinned"]

_LISTS = ("manifest.json", "everyday_objects.json")     # in models/, which travels with the package


@functools.lru_cache(maxsize=None)
def _pins() -> FrozenSet[str]:
    found: List[str] = []
    for name in _LISTS:
        try:
            text = (package_folder("models") / name).read_text(encoding="utf-8")
        except (OSError, ValueError):   # a package that was taken apart: nothing is pinned then
            continue
        found += re.findall(r'"([0-9a-f]{40})"', text)
    return frozenset(found)


def is_pinned(content: Any) -> bool:
    """Whether these are the bytes of a file that the package knows, by git's id: ``sha1("blob " + length + NUL +
    content)``.

    :param content: bytes, or what else has their interface
    """
    digest = hashlib.sha1(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest() in _pins()
