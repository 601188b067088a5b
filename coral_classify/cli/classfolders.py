"""A folder that holds a folder of pictures for each class."""
from __future__ import annotations

import os
from typing import Iterator, Tuple

from ..errors import UsageError
from .sources import pictures_in

__all__ = ["folders_of_classes"]


def folders_of_classes(folder: str) -> Iterator[Tuple[str, str]]:
    """(class, picture) of all in the folders of *folder*; the class is the folder's name.

    :raises UsageError: if it has no folders with pictures
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as exc:
        raise UsageError("folder %s: %s" % (folder, exc.strerror or exc)) from exc
    first = next((path for name in names for path in pictures_in(os.path.join(folder, name), True)), None)
    if first is None:
        raise UsageError("folder %s: holds no folders with pictures; make one for each class, named as the class"
                         % folder)
    return ((name, path) for name in names for path in pictures_in(os.path.join(folder, name), True))
