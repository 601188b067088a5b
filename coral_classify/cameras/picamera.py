"""The camera of a Raspberry Pi through picamera2: the system's package, found from a virtual environment, too."""
from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from typing import Any, Iterator, Tuple

from ..errors import CameraError
from .contract import Camera, Frame

__all__ = ["Picamera", "load"]

_SYSTEM = "/usr/lib/python3/dist-packages"      # where Debian and Raspberry Pi OS put it
_INSTALL = "sudo apt install python3-picamera2"


class Picamera(Camera):
    """The first camera that libcamera knows.

    :param size: width and height in pixels
    """

    def __init__(self, size: Tuple[int, int] = (640, 480)) -> None:
        super().__init__("picamera2")
        self._size = size

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        module = load()
        try:
            device = module.Picamera2()
        except IndexError as exc:       # what it raises where libcamera finds none
            raise CameraError("picamera2: no camera found; is its cable in? rpicam-hello --list-cameras shows what the "
                              "system sees") from exc
        except Exception as exc:
            raise CameraError("picamera2: does not open: %s; does another program use it?"
                              % (str(exc) or type(exc).__name__)) from exc
        try:
            # libcamera names the order in a word, not in memory: "BGR888" is R, G, B in the array.
            device.configure(device.create_video_configuration(main={"size": self._size, "format": "BGR888"}))
            device.start()
            while not over.is_set():
                pixels = device.capture_array("main")
                now = time.monotonic()
                yield Frame(self.name, now, now, lambda pixels=pixels: pixels)   # type: ignore[misc]
        except Exception as exc:
            raise CameraError("picamera2: stopped: %s" % (str(exc) or type(exc).__name__)) from exc
        finally:
            device.close()


def load(system: str = _SYSTEM) -> Any:
    """The module ``picamera2``; from the system's packages where a virtual environment hides them.

    :raises CameraError: if it is not here, or is for another Python
    """
    try:
        return importlib.import_module("picamera2")
    except ImportError as exc:
        if not os.path.isdir(os.path.join(system, "picamera2")):
            raise CameraError("picamera2: is not here; on a Raspberry Pi: %s" % _INSTALL) from exc
    sys.path.append(system)     # last: what the environment has goes first
    try:
        return importlib.import_module("picamera2")
    except Exception as exc:    # libcamera's binding fits the system's own Python only
        sys.path.remove(system)
        for name in [name for name in sys.modules if name.split(".")[0] in ("picamera2", "libcamera")]:
            del sys.modules[name]
        raise CameraError("picamera2: the system has it, but it does not load in this Python %d.%d (%s); use the "
                          "system's: /usr/bin/python3 -m venv --system-site-packages FOLDER"
                          % (sys.version_info[0], sys.version_info[1], exc)) from exc
