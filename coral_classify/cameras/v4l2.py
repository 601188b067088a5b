"""Cameras that Linux shows as /dev/video*, through PyAV's input "v4l2"; and which of those nodes are cameras.

Sources: the kernel's V4L2 documentation (VIDIOC_QUERYCAP and ``struct v4l2_capability``).
"""
from __future__ import annotations

import errno
import glob
import os
import re
import struct
import threading
from typing import Iterator, List, NamedTuple, Optional

from ..errors import CameraError
from .contract import Camera, Frame
from .decoding import decoded

__all__ = ["Node", "Webcam", "nodes", "trouble"]

_QUERYCAP = 0x80685600          # _IOR('V', 0, struct v4l2_capability)
_CAPTURE = 0x1
# Nodes of a Raspberry Pi that give raw data or are parts of a pipeline: picamera2 is the way to that camera.
_PARTS = ("unicam", "bcm2835-isp", "bcm2835-codec", "pispbe", "rp1-cfe")


class Webcam(Camera):
    """A camera at a node."""

    def __init__(self, node: str) -> None:
        super().__init__("v4l2:" + node)
        self._node = node

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        try:
            yield from decoded(self.name, self._node, over, live=True, format="v4l2")
        except OSError as exc:
            raise CameraError("%s: %s" % (self.name, trouble(self._node, exc.errno) or exc.strerror or exc)) from exc
        if not over.is_set():
            raise CameraError("%s: gives no more pictures; was it pulled out?" % self.name)


class Node(NamedTuple):
    """A node that may be a camera."""

    path: str                   # /dev/video0
    title: str                  # as the driver calls it
    trouble: Optional[str]      # why it does not open; None: it does
    first_choice: bool          # a camera of its own, and no part of a pipeline


def nodes(pattern: str = "/dev/video*") -> List[Node]:
    """The nodes that give pictures, by number, and those of which this user cannot know."""
    found = []
    for path in sorted(glob.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path)]):
        try:
            handle = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
        except OSError as exc:
            found.append(Node(path, _title(path), trouble(path, exc.errno) or exc.strerror, False))
            continue
        try:
            driver, title, capabilities = _asked(handle)
        except OSError as exc:
            found.append(Node(path, _title(path), trouble(path, exc.errno) or exc.strerror, False))
            continue
        finally:
            os.close(handle)
        if capabilities & _CAPTURE:
            found.append(Node(path, title, None, driver not in _PARTS))
    return found


def _asked(handle: int) -> "tuple[str, str, int]":
    """Driver, title and capabilities, as VIDIOC_QUERYCAP gives them."""
    import fcntl  # not on Windows, which has no such nodes

    block = fcntl.ioctl(handle, _QUERYCAP, bytes(104))
    capabilities, of_this_node = struct.unpack_from("=II", block, 84)
    driver, title = (part.split(b"\0")[0].decode("utf-8", "replace") for part in (block[:16], block[16:48]))
    # V4L2_CAP_DEVICE_CAPS: a camera has several nodes, and each says what it is itself.
    return driver, title, of_this_node if capabilities & 0x80000000 else capabilities


def _title(path: str) -> str:
    try:
        with open("/sys/class/video4linux/%s/name" % os.path.basename(path), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "?"


def trouble(node: str, number: Optional[int]) -> Optional[str]:
    """What an error of the system's means at a camera's node, and the next step; None for one that says enough.

    :param number: the errno
    """
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return "no such device; coral-classify live --list shows what is there"
    if number in (errno.EACCES, errno.EPERM):
        group = _group(node)
        return "this user may not open it; it belongs to the group %s: sudo usermod -aG %s $USER, then log in again" % (
            group, group)
    if number == errno.EBUSY:
        holder = _holder(node)
        return "is busy: %s has it open" % (holder or "another process")
    if number in (errno.ENOTTY, errno.EINVAL):
        return "is no camera"
    return None


def _group(node: str) -> str:
    try:
        import grp  # not on Windows

        return grp.getgrgid(os.stat(node).st_gid).gr_name
    except (ImportError, KeyError, OSError):
        return "video"


def _holder(node: str, proc: str = "/proc") -> Optional[str]:
    """The process that has it open, as far as this user may see."""
    for link in glob.glob(os.path.join(proc, "[0-9]*", "fd", "*")):
        try:
            if os.readlink(link) == node and int(link.split(os.sep)[-3]) != os.getpid():
                with open(os.path.join(os.path.dirname(os.path.dirname(link)), "comm"), encoding="utf-8") as file:
                    return "%s (process %s)" % (file.read().strip(), link.split(os.sep)[-3])
        except OSError:
            continue
    return None
