"""The owner: listens at a Unix socket, and serves each client in a thread of its own until that is gone.

What a client does wrong ends its own connection and nothing else.
"""
from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import stat
import struct
import threading
import time
from typing import Any, Dict, List, Optional

from .. import arguments
from ..errors import CoralClassifyError, DeviceError
from ..supervision import GREETING, VERSION, Guest, greeted, read_line
from .stock import Loaded, Stock, content_of

__all__ = ["Owner"]

_log = logging.getLogger("coral_classify.sharing")
_MOST_CLIENTS = 256
_GREETING_S = 5.0


class Client:
    """One connection, for the status."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.guest: Optional[Guest] = None
        self.model = ""
        self.device = ""
        self.answers = 0
        self.since = time.monotonic()
        try:
            self.pid, self.uid, _ = struct.unpack(
                "3i", end.getsockopt(socket.SOL_SOCKET, getattr(socket, "SO_PEERCRED", 17), 12))
        except OSError:
            self.pid = self.uid = -1


class Owner:
    """:param path: of the socket; its folder exists
    :param group: who may, beside the owner's user; a group id
    :param inherited: a socket that listens already (systemd's), instead of one at *path*
    :raises DeviceError: if another owner lives there
    """

    def __init__(self, path: str, stock: Stock, *, group: Optional[int] = None,
                 inherited: Optional[socket.socket] = None) -> None:
        self._path = os.fspath(arguments.file("path", path, "the path of a socket"))
        self._stock = arguments.instance("stock", stock, Stock)
        if group is not None:
            arguments.whole("group", group, least=0, most=(1 << 32) - 2)
        self._lock = threading.Lock()
        self._clients: List[Client] = []
        self._over = threading.Event()
        self._in_hand = 0
        self._guard = -1
        self._inherited = inherited is not None
        self._listener = inherited if inherited is not None else self._bound(group)
        self._listener.settimeout(0.2)

    def _bound(self, group: Optional[int]) -> socket.socket:
        try:
            os.mkdir(os.path.dirname(os.path.abspath(self._path)), 0o755)
        except OSError:
            pass  # it is there; or the next line says why not
        try:
            self._guard = os.open(self._path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._guard)
            raise DeviceError("another owner shares accelerators at %s already; see coral-classify share --status"
                              % self._path, cause="busy") from None
        except OSError as exc:
            raise DeviceError("cannot listen at %s: %s; name another place with --socket"
                              % (self._path, exc.strerror), cause="no-owner") from exc
        # Whoever has the lock is the owner: a socket that lies there is of one that died.
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(self._path):
                if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
                    raise DeviceError("%s is there and is no socket; name another place with --socket" % self._path)
                os.unlink(self._path)
            before = os.umask(0o117)
            try:
                listener.bind(self._path)
            finally:
                os.umask(before)
            if group is not None:
                os.chown(self._path, -1, group)
            listener.listen(128)
        except (OSError, DeviceError) as exc:
            listener.close()
            os.close(self._guard)
            if isinstance(exc, DeviceError):
                raise
            raise DeviceError("cannot listen at %s: %s; name another place with --socket"
                              % (self._path, exc.strerror or exc), cause="no-owner") from exc
        return listener

    def stop(self) -> None:
        """Safe in a signal handler."""
        self._over.set()

    def run(self) -> None:
        """Until :meth:`stop`; pictures in hand are answered first."""
        try:
            while not self._over.is_set():
                try:
                    end, _ = self._listener.accept()
                except socket.timeout:
                    continue
                except OSError as exc:  # out of descriptors, say: others leave sooner or later
                    _log.warning("a client could not be let in: %s", exc)
                    self._over.wait(0.1)
                    continue
                self._let_in(end)
        finally:
            self._end()

    def _let_in(self, end: socket.socket) -> None:
        client = Client(end)
        with self._lock:
            full = len(self._clients) >= _MOST_CLIENTS
            if not full:
                self._clients.append(client)
        if full:
            _answer(end, "refused: %d clients are here already" % _MOST_CLIENTS)
            end.close()
            return
        try:
            threading.Thread(target=self._serve, args=(client,), name="coral-client", daemon=True).start()
        except RuntimeError:
            self._gone(client)

    def _serve(self, client: Client) -> None:
        descriptors: List[int] = []
        try:
            client.end.settimeout(_GREETING_S)
            version, wish = greeted(read_line(client.end, descriptors))
            if version != VERSION:
                _answer(client.end, "refused: this owner speaks version %d" % VERSION)
            elif wish == "status":
                _answer(client.end, json.dumps(self.status()))
            elif wish == "session" and descriptors:
                content = content_of(descriptors[0])
                _answer(client.end, "ok")
                self._house(client, content)
            else:
                _answer(client.end, "refused: it knows no such wish")
        except CoralClassifyError as exc:
            _answer(client.end, "refused: %s" % exc)
        except (OSError, ValueError, EOFError):
            pass  # gone, or nonsense
        except Exception:
            _log.exception("a client's connection failed")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            self._gone(client)

    def _house(self, client: Client, content: bytes) -> None:
        guest = client.guest = Guest(client.end)
        order = guest.order(_GREETING_S)
        told = order["description"]
        if order.get("factory") != "coral_classify.engine:open_described":
            guest.failed(0, DeviceError("this owner opens classifiers and networks only", cause="no-owner"))
            return
        try:
            loaded = self._stock.take(content, bool(told.get("any_network")))
        except CoralClassifyError as exc:
            guest.failed(0, exc)
            return
        try:
            session = loaded.session
            client.model, client.device = os.path.basename(str(told.get("model")))[:100], session.device
            guest.ready(session.device, session.inputs, session.outputs)
            while self._answered_one(client, guest, loaded):
                pass
        finally:
            self._stock.give_back(loaded)

    def _answered_one(self, client: Client, guest: Guest, loaded: Loaded) -> bool:
        asked = guest.next()
        if asked is None or self._over.is_set():
            return False
        number, inputs, into = asked
        with self._lock:
            self._in_hand += 1
        try:
            with loaded.turns.turn(client, loaded.key):
                try:
                    outputs = loaded.session.run_all(inputs, into=into)
                except CoralClassifyError as exc:
                    trouble: Optional[CoralClassifyError] = exc
                else:
                    trouble = None
            if trouble is not None:
                guest.failed(number, trouble)
            else:
                guest.done(number, outputs, into)
                client.answers += 1
        finally:
            with self._lock:
                self._in_hand -= 1
        return True

    def _gone(self, client: Client) -> None:
        if client.guest is not None:
            client.guest.close()
        client.end.close()
        with self._lock:
            if client in self._clients:
                self._clients.remove(client)

    def status(self) -> Dict[str, Any]:
        """In plain types: who uses what, and what was survived."""
        now = time.monotonic()
        with self._lock:
            clients = [{"pid": one.pid, "uid": one.uid, "model": one.model, "device": one.device,
                        "answers": one.answers, "per_s": round(one.answers / max(0.001, now - one.since), 1)}
                       for one in self._clients if one.model]
        models = [{"id": one.key[0][:12], "device": one.device, "users": one.users} for one in self._stock.models()]
        return {"pid": os.getpid(), "clients": clients, "models": models, "faults_survived": self._stock.losses}

    def _end(self) -> None:
        self._listener.close()
        until = time.monotonic() + 15.0
        while self._in_hand and time.monotonic() < until:
            time.sleep(0.01)
        with self._lock:
            for client in self._clients:
                try:
                    client.end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._stock.close()
        if not self._inherited:
            try:
                os.unlink(self._path)
            except OSError:
                pass
            os.close(self._guard)


def _answer(end: socket.socket, text: str) -> None:
    try:
        end.settimeout(_GREETING_S)
        end.sendall(("%s %d %s\n" % (GREETING, VERSION, " ".join(text.split()))).encode("utf-8"))
    except OSError:
        pass
