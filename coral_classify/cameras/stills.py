"""Stills as a moving picture: those of a folder one after the other, or one file that is looked at again and again."""
from __future__ import annotations

import functools
import os
import threading
import time
from typing import Iterator

from ..errors import CameraError
from .contract import Camera, Frame

__all__ = ["ENDINGS", "Folder", "Still"]

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class Folder(Camera):
    """The pictures of a folder in the order of their names, each once.

    :param interval_s: between two of them
    """

    live = False
    moving = False

    def __init__(self, path: str, interval_s: float) -> None:
        super().__init__(path)
        self._interval_s = interval_s

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        try:
            names = sorted(name for name in os.listdir(self.name)
                           if name.lower().endswith(ENDINGS) and not name.startswith("."))
        except OSError as exc:
            raise CameraError("%s: cannot be read: %s" % (self.name, exc.strerror or exc)) from exc
        if not names:
            raise CameraError("%s: holds no pictures; give a folder that does, or a camera" % self.name)
        for position, name in enumerate(names):
            if over.wait(self._interval_s if position else 0):
                return
            path = os.path.join(self.name, name)
            yield Frame(path, time.monotonic(), position * self._interval_s, functools.partial(str, path))


class Still(Camera):
    """One picture file that somebody writes anew, looked at by interval."""

    def __init__(self, path: str, interval_s: float) -> None:
        super().__init__(path)
        self._interval_s = interval_s

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        while True:
            if not os.path.isfile(self.name):
                raise CameraError("%s: no such file" % self.name)
            now = time.monotonic()
            yield Frame(self.name, now, now, functools.partial(str, self.name))
            if over.wait(self._interval_s):
                return
