"""What is known about published model files, recognised by their content: ``models/manifest.json``.

Knows nothing of downloads.  Importing it reads no file.
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from .locations import package_folder

__all__ = ["EMBEDDED", "Passport", "Sure", "embedded", "load_manifest", "by_blob", "by_file", "git_blob_id"]

EMBEDDED = "everyday_objects"       # stem of the files of the model that the package carries


class Sure(NamedTuple):
    """When an answer of this model is to be relied on; chosen on photographs, see models/README.md."""

    min_score: float
    min_margin: float               # to the second
    unsure_labels: Tuple[str, ...]  # answers that say "I do not know"

    def holds(self, best: Sequence[Tuple[str, float]]) -> bool:
        """:param best: (label, score) of the best two of all classes"""
        (label, score), second = best[0], best[1][1] if len(best) > 1 else 0.0
        return label not in self.unsure_labels and score >= self.min_score and score - second >= self.min_margin


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
    sure: Optional[Sure] = None         # None: nobody measured when to rely on it
    # Published time of an inference on "usb_accelerator" and "dev_board"; None: not published
    latency_ms: Optional[Dict[str, float]] = None


@functools.lru_cache(maxsize=None)
def load_manifest() -> Tuple[Passport, ...]:
    """All passports that travel with the package."""
    path = package_folder("models") / "manifest.json"
    entries = json.loads(path.read_text(encoding="utf-8"))["models"]
    return tuple(Passport(**{field: entry[field] for field in Passport._fields if field in entry}) for entry in entries)


@functools.lru_cache(maxsize=None)
def embedded() -> Optional[Passport]:
    """The passport of the model that the package carries; None where it was left out."""
    path = package_folder("models") / (EMBEDDED + ".json")
    if not path.is_file():
        return None
    entry = json.loads(path.read_text(encoding="utf-8"))
    rule = entry["sure"]
    return Passport(
        name=entry["name"], title=entry["title"], kind=entry["kind"], labels=entry["labels"],
        files={"cpu": {"name": entry["file"], "git_blob": entry["git_blob"], "sha256": entry["sha256"]}},
        label_offset=entry["label_offset"], classes=entry["classes"], mean=entry["mean"], std=entry["std"],
        sure=Sure(rule["min_score"], rule["min_margin"], tuple(rule["unsure_labels"])))


def git_blob_id(path: Path) -> str:
    """Git's id of a file's content, which pins its bytes: ``sha1("blob " + length + NUL + content)``."""
    with open(str(path), "rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def by_blob(blob_id: str) -> Optional[Passport]:
    """The passport of a file with this content, or None."""
    own = embedded()
    for passport in load_manifest() + ((own,) if own else ()):
        if any(file["git_blob"] == blob_id for file in passport.files.values()):
            return passport
    return None


def by_file(path: Path) -> Optional[Passport]:
    """The passport of this file, whatever it is called; None if its content is not a published one."""
    return by_blob(git_blob_id(path))
