"""The way to the owner of shared accelerators, as a client goes it: the greeting, the wire.

An :class:`OwnerHost` stands where a worker process stands (:mod:`coral_classify.supervision.hostprocess`): behind the
greeting the same frames travel, so that keeper, twin and policy of a session serve a shared accelerator, too.
"""

from __future__ import annotations

import array
import json
import os
import socket
import time
from typing import Any, Dict, List, Optional, Tuple

from ..errors import DeviceError
from .elsewhere import HostElsewhere
from .whereabouts import owner_is_there, socket_path

__all__ = ["GREETING", "VERSION", "OwnerHost", "ask_status", "greeted", "read_line", "shared_paths"]

VERSION = 1
GREETING = "coral-classify"
_ANSWER_S = 5.0  # for the owner's greeting; a healthy one answers at once
_LONGEST_LINE = 1 << 16


def read_line(end: socket.socket, descriptors: Optional[List[int]] = None) -> str:
    """A greeting, to its line's end; a byte at a time, because frames follow it.

    :param descriptors: takes those that come along
    :raises OSError, ValueError: if none comes, or something else
    """
    line, space = bytearray(), socket.CMSG_SPACE(array.array("i").itemsize)
    while not line.endswith(b"\n"):
        word, ancillary, _, _ = end.recvmsg(1, space)
        for _, _, content in ancillary:
            rights = array.array("i")
            rights.frombytes(content)
            if descriptors is None or descriptors:
                for descriptor in rights:
                    os.close(descriptor)
                raise ValueError("descriptors that nobody asked for")
            descriptors.extend(rights)
        if not word or len(line) >= _LONGEST_LINE:
            raise ValueError("no greeting")
        line += word
    return line[:-1].decode("utf-8")


def greeted(line: str) -> Tuple[int, str]:
    """Version and wish of a greeting.

    :raises ValueError: if it is none
    """
    name, version, wish = line.split(" ", 2)
    if name != GREETING:
        raise ValueError("no greeting")
    return int(version), wish


def _connect(end: socket.socket, path: str) -> None:
    until = time.monotonic() + _ANSWER_S
    while True:
        try:
            return end.connect(path)
        except BlockingIOError:  # many connect at once, and the queue at the socket is full
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _connected(wish: str, descriptor: Optional[int] = None) -> Tuple[socket.socket, str]:
    """A socket behind the greeting, and what the owner answered.

    :raises DeviceError: if nobody is there, or it refuses
    """
    path = socket_path()
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.settimeout(_ANSWER_S)
        try:
            _connect(end, path)
            rights = [] if descriptor is None else [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            end.sendmsg([("%s %d %s\n" % (GREETING, VERSION, wish)).encode("ascii")], rights)
            version, answer = greeted(read_line(end))
        except (OSError, ValueError) as exc:
            raise DeviceError("no owner of shared accelerators answers at %s (%s); start one: coral-classify share"
                              % (path, getattr(exc, "strerror", None) or exc), cause="no-owner") from exc
        if version != VERSION:
            raise DeviceError("the owner at %s speaks version %d, and this program version %d; bring both to the same "
                              "version of coral_classify" % (path, version, VERSION), cause="no-owner")
        if answer.startswith("refused: "):
            raise DeviceError("the owner at %s refuses: %s" % (path, answer[9:]), cause="no-owner")
        return end, answer
    except BaseException:
        end.close()
        raise


def ask_status() -> Dict[str, Any]:
    """What the owner tells of itself.

    :raises DeviceError: if there is none
    """
    end, answer = _connected("status")
    end.close()
    told: Dict[str, Any] = json.loads(answer)
    return told


def shared_paths() -> List[str]:
    """Paths of the accelerators that a running owner shares; none where there is no owner."""
    try:
        return [one["path"] for one in ask_status()["devices"] if one["path"]] if owner_is_there() else []
    except DeviceError:
        return []


class OwnerHost(HostElsewhere):
    """The owner, in the place of a worker process of one's own; one for each session."""

    def new_wire(self, order: Dict[str, Any]) -> socket.socket:
        """:raises DeviceError: if no owner takes the session in
        :raises OSError: if the model cannot be opened"""
        with open(order["description"]["model"], "rb") as model:
            self._end, _ = _connected("session", model.fileno())
        return self._end
