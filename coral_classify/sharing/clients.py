"""Who is connected, and how many of whom may be.

No user of the machine can lock the others out: each has a share of the places and of the memory, and those who say
nothing make room for those who come.
"""
from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from .. import arguments
from ..errors import DeviceError

__all__ = ["Client", "Clients"]

_MOST_SILENT = 64
_MOST_OF_ONE = 0.25  # of all places, for one user
_MOST_BYTES = 1 << 30  # of models and tensors, for one user
_RATE_S = 5.0  # how long pictures are counted for a rate
# What a client needs of descriptors, here and while its memory is handed on; and the owner for itself.
_DESCRIPTORS, _DESCRIPTORS_SPARE = 20, 128


class Client:
    """One connection."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.model = ""  # name of its file; empty as long as it has none
        self.device = ""
        self.answers = 0
        self.digest = ""
        self.model_bytes = 0
        self.tensor_bytes = 0
        self._marks = [(time.monotonic(), 0)] * 2  # when there were how many answers
        try:
            self.pid, self.uid, _ = struct.unpack(
                "3i", end.getsockopt(socket.SOL_SOCKET, getattr(socket, "SO_PEERCRED", 17), 12))
        except OSError:
            self.pid = self.uid = -1

    def tick(self, now: float) -> None:
        if now - self._marks[1][0] >= _RATE_S:
            self._marks = [self._marks[1], (now, self.answers)]

    @property
    def per_s(self) -> float:
        """Answers a second, lately."""
        began, answers = self._marks[0]
        return (self.answers - answers) / max(0.001, time.monotonic() - began)

    def hang_up(self) -> None:
        """Its thread sees the end, and ends."""
        try:
            self.end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Clients:
    """:param most: how many may be housed at a time"""

    def __init__(self, most: int = 256) -> None:
        self.most = arguments.whole("most", most, least=1)
        self.most_of_one = max(1, int(most * _MOST_OF_ONE))
        self._lock = threading.Lock()
        self._silent: List[Client] = []  # those that were not let in yet, oldest first
        self._inside: List[Client] = []
        self._in_hand = 0

    @staticmethod
    def most_with(descriptors: int) -> int:
        """How many clients an owner with so many descriptors may have; 256 at most.

        >>> Clients.most_with(1024), Clients.most_with(1 << 20)
        (44, 256)
        """
        return max(1, min(256, (descriptors - _DESCRIPTORS_SPARE) // _DESCRIPTORS))

    def came(self, client: Client) -> None:
        """Before its greeting; where many say nothing, the oldest of the user with most of them is thrown out."""
        with self._lock:
            self._silent.append(client)
            if len(self._silent) > _MOST_SILENT:
                counts = _counted(self._silent)
                uid = max(counts, key=lambda one: counts[one])
                out = next(one for one in self._silent if one.uid == uid)
                self._silent.remove(out)
                out.hang_up()

    def let_in(self, client: Client) -> None:
        """:raises DeviceError: if there are too many, all in all or of its user"""
        with self._lock:
            mine = _counted(self._inside).get(client.uid, 0)
            if mine >= self.most_of_one:
                raise DeviceError("user %d has %d connections here already" % (client.uid, mine), cause="busy")
            if len(self._inside) >= self.most:
                raise DeviceError("%d clients are here already" % self.most, cause="busy")
            if client in self._silent:
                self._silent.remove(client)
            self._inside.append(client)

    def reserve(self, client: Client, *, model: int = 0, tensors: int = 0, digest: str = "") -> bool:
        """Have so many bytes counted for a client; a model once for all clients of its user.

        :returns: whether its user may have them
        """
        with self._lock:
            before = client.digest, client.model_bytes, client.tensor_bytes
            client.digest, client.model_bytes = digest or client.digest, model or client.model_bytes
            client.tensor_bytes += tensors
            mine = [one for one in self._inside if one.uid == client.uid]
            models = {one.digest or str(id(one)): one.model_bytes for one in mine}
            fits = sum(models.values()) + sum(one.tensor_bytes for one in mine) <= _MOST_BYTES
            if not fits:
                client.digest, client.model_bytes, client.tensor_bytes = before
            return fits

    def gone(self, client: Client) -> None:
        with self._lock:
            for some in (self._silent, self._inside):
                if client in some:
                    some.remove(client)
        client.end.close()

    @contextmanager
    def picture_in_hand(self) -> Iterator[None]:
        with self._lock:
            self._in_hand += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_hand -= 1

    @property
    def in_hand(self) -> int:
        return self._in_hand

    def tick(self) -> None:
        now = time.monotonic()
        with self._lock:
            for client in self._inside:
                client.tick(now)

    def hang_up(self) -> None:
        with self._lock:
            for client in self._silent + self._inside:
                client.hang_up()

    def told(self) -> List[Dict[str, Any]]:
        """Those that have a model, in plain types."""
        with self._lock:
            return [{"pid": one.pid, "uid": one.uid, "program": _program(one.pid), "model": one.model,
                     "device": one.device, "answers": one.answers, "per_s": round(one.per_s, 1)}
                    for one in self._inside if one.model]


def _counted(clients: List[Client]) -> Dict[int, int]:
    counts: Dict[int, int] = {}
    for one in clients:
        counts[one.uid] = counts.get(one.uid, 0) + 1
    return counts


def _program(pid: int) -> str:
    """What a process runs: the name of its script, else its own; empty where it may not be seen."""
    try:
        with open("/proc/%d/cmdline" % pid, errors="replace") as file:
            scripts = [word for word in file.read().split("\0")[1:] if word.endswith(".py")]
        with open("/proc/%d/comm" % pid, errors="replace") as file:
            return os.path.basename(scripts[0])[:40] if scripts else file.read().strip()
    except OSError:
        return ""
