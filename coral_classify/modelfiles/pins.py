"""Which contents are pinned: those of the published models, and of the package's own.

Knows ids of contents and nothing of what is in them.
"""
from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, FrozenSet, Iterable, List

from ..locations import package_folder

__all__ = ["blob_id", "is_pinned"]

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


def blob_id(length: int, blocks: Iterable[Any]) -> str:
    """Git's id of a content, which pins its bytes: ``sha1("blob " + length + NUL + content)``.

    :param length: of the content, bytes
    :param blocks: the content, in order
    """
    digest = hashlib.sha1(b"blob %d\0" % length)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def is_pinned(content_id: str) -> bool:
    """Whether the package knows the content of this :func:`blob_id`."""
    return content_id in _pins()
