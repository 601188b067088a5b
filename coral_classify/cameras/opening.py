"""What the name of a source means.  The grammar: nothing (the first camera), ``v4l2:/dev/video2``, ``picamera2``,
an address (``rtsp://…``), a video file, a picture file, a folder of pictures, ``test``."""
from __future__ import annotations

import os
import re
from typing import Union

from .. import arguments
from ..errors import CameraError, UsageError
from . import network, stills, videos
from .contract import Camera

__all__ = ["camera"]

_GRAMMAR = "v4l2:/dev/video0, picamera2, rtsp://…, a video or picture file, a folder of pictures, or test"


def camera(name: "Union[str, os.PathLike[str], None]" = None, *, interval_s: float = 1.0,
           stall_s: float = 10.0) -> Camera:
    """The source of that name; it opens when its frames are asked for.

    :param name: see the module; None: the first camera of this machine
    :param interval_s: between two pictures of a folder, or two looks at a picture file
    :param stall_s: how long a read from the network may take
    :raises UsageError: if it cannot be meant
    :raises CameraError: if there is no camera, or no such file

    >>> camera("test").name
    'test'
    """
    interval_s, stall_s = arguments.number("interval_s", interval_s), arguments.number("stall_s", stall_s, above=0)
    if interval_s < 0:
        raise arguments.wrong("interval_s", "a number of at least 0", interval_s)
    if name is None:
        return _first()
    text = os.fspath(arguments.file("camera", name, "the name of a source, like %s" % _GRAMMAR))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if text == "test":
        from .synthetic import Synthetic

        return Synthetic()
    if text == "picamera2":
        from .picamera import Picamera

        return Picamera()
    if text.startswith("v4l2:") or re.match(r"/dev/(video|v4l/)", text):
        return _webcam(text[5:] if text.startswith("v4l2:") else text)
    if scheme:
        if scheme.group(1).lower() not in network.SCHEMES:
            raise UsageError("%s: of that kind are no sources; known are %s" % (
                text.split("//")[0] + "//", ", ".join(network.SCHEMES)))
        return network.Network(text, stall_s)
    return _of_files(text, interval_s)


def _of_files(path: str, interval_s: float) -> Camera:
    if os.path.isdir(path):
        return stills.Folder(path, interval_s)
    if not os.path.exists(path):
        if not os.path.splitext(path)[1] and os.sep not in path:
            raise UsageError("%s: no source of that name; give %s" % (path, _GRAMMAR))
        raise CameraError("%s: no such file; a source is %s" % (path, _GRAMMAR))
    if path.lower().endswith(stills.ENDINGS):
        return stills.Still(path, max(interval_s, 0.01))
    return videos.Video(path)


def _webcam(node: str) -> Camera:
    from .v4l2 import Webcam

    if not node.startswith("/"):
        raise UsageError("v4l2:%s: give the node, as in v4l2:/dev/video0" % node)
    return Webcam(node)


def _first() -> Camera:
    from . import picamera, v4l2

    there = v4l2.nodes()
    for node in there:
        if node.first_choice:
            return v4l2.Webcam(node.path)
    try:
        picamera.load()
        return picamera.Picamera()
    except CameraError:
        pass
    if there:       # one that this user may not open, most likely
        raise CameraError("v4l2:%s: %s" % (there[0].path, there[0].trouble
                                           or "is part of a camera that picamera2 opens, which is not here"))
    raise CameraError("no camera found; plug one in, or give %s" % _GRAMMAR)
