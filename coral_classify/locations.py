"""Where models and labels lie: in the package, then in the user's cache folder.  Only paths; no content."""
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List, Optional

__all__ = ["home", "package_folder", "find"]


def home() -> Path:
    """The folder for what this package keeps: ``CORAL_CLASSIFY_HOME``, else the platform's cache folder."""
    named = os.environ.get("CORAL_CLASSIFY_HOME")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "coral_classify"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "coral_classify"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coral_classify"


def package_folder(kind: str) -> Path:
    """The folder ``models`` or ``labels`` that travels with the package.

    In a wheel it lies inside the package, in a checkout beside it.
    """
    package = Path(__file__).resolve().parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind


def find(kind: str, name: str) -> Optional[Path]:
    """The file of this bare *name* in the package's or the user's folder *kind*, or None."""
    if name != os.path.basename(name) or name in ("", ".", ".."):
        return None
    folders: List[Path] = [package_folder(kind), home() / kind]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    return None
