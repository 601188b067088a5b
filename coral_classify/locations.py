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
        return Path(os.path.expanduser(named))
    # A service or a container may run as a user without a home: nothing is found there, and nothing can be put there.
    user = Path(os.path.expanduser("~"))
    user = user if user.is_absolute() else Path("/nonexistent")
    if sys.platform == "darwin":
        return user / "Library" / "Caches" / "coral_classify"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or user / "AppData" / "Local") / "coral_classify"
    return Path(os.environ.get("XDG_CACHE_HOME") or user / ".cache") / "coral_classify"


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
        if os.path.isfile(str(folder / name)):      # the Path's own raises where a folder may not be entered
            return folder / name
    return None
