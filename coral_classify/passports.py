"""What is known about published model files, recognised by their content: ``models/manifest.json``.

Knows nothing of downloads.  Importing it reads no file.
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from .locations import package_folder

__all__ = ["Passport", "load_manifest", "by_blob", "by_file", "git_blob_id"]


class Passport(NamedTuple):
    """One published model."""

    name: str                           # "efficientnet-edgetpu-s"
    title: str
    kind: str                           # "classification" or "embedding"
    files: Dict[str, Dict[str, Any]]    # "cpu" and "edgetpu" -> name, git_blob, sha256
    labels: Optional[str]               # file name of its label file
    label_offset: int                   # lines of the label file to skip
    classes: Optional[int]
    mean: float                         # what the network was trained with: (pixel - mean) / std
    std: float


@functools.lru_cache(maxsize=None)
def load_manifest() -> Tuple[Passport, ...]:
    """All passports that travel with the package."""
    path = package_folder("models") / "manifest.json"
    entries = json.loads(path.read_text(encoding="utf-8"))["models"]
    return tuple(Passport(**{field: entry[field] for field in Passport._fields}) for entry in entries)


def git_blob_id(path: Path) -> str:
    """Git's id of a file's content, which pins its bytes: ``sha1("blob " + length + NUL + content)``."""
    with open(str(path), "rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def by_blob(blob_id: str) -> Optional[Passport]:
    """The passport of a file with this content, or None."""
    for passport in load_manifest():
        if any(file["git_blob"] == blob_id for file in passport.files.values()):
            return passport
    return None


def by_file(path: Path) -> Optional[Passport]:
    """The passport of this file, whatever it is called; None if its content is not a published one."""
    return by_blob(git_blob_id(path))
