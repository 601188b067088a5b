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
import threading
import time
from typing import Any, Dict, List, Optional

from .. import arguments, edgetpu
from ..errors import CoralClassifyError, DeviceError
from ..supervision import GREETING, VERSION, greeted, read_line
from .clients import Client, Clients
from .copies import copied
from .stock import Stock
from .visit import Visit

__all__ = ["Owner"]

_log = logging.getLogger("coral_classify.sharing")
_GREETING_S = 5.0
_LAST_PICTURES_S = 12.0  # for those in hand at the end: longer than a device may hang
_TICK_S = 0.2


class Owner:
    """:param path: of the socket; its folder exists
    :param clients: who may be here at a time
    :param group: who may, beside the owner's user; a group id
    :param inherited: a socket that listens already (systemd's), instead of one at *path*
    :raises DeviceError: if another owner lives there
    """

    def __init__(self, path: str, stock: Stock, *, clients: Optional[Clients] = None, group: Optional[int] = None,
                 inherited: Optional[socket.socket] = None) -> None:
        self._path = os.fspath(arguments.file("path", path, "the path of a socket"))
        self._stock = arguments.instance("stock", stock, Stock)
        self._clients = Clients() if clients is None else arguments.instance("clients", clients, Clients)
        if group is not None:
            arguments.whole("group", group, least=0, most=(1 << 32) - 2)
        self._over = threading.Event()
        self._began = time.monotonic()
        self._guard = -1
        self._inherited = inherited is not None
        self._listener = inherited if inherited is not None else self._bound(group)
        self._listener.settimeout(_TICK_S)

    def _bound(self, group: Optional[int]) -> socket.socket:
        try:
            os.mkdir(os.path.dirname(os.path.abspath(self._path)), 0o755)
        except OSError:
            pass  # it is there; or the next line says why not
        try:
            self._guard = _locked(self._path + ".lock")
        except BlockingIOError:
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
        looked = time.monotonic()
        try:
            while not self._over.is_set():
                if time.monotonic() - looked >= _TICK_S:
                    self._stock.look()
                    self._clients.tick()
                    looked = time.monotonic()
                try:
                    end, _ = self._listener.accept()
                except socket.timeout:
                    continue
                except OSError as exc:  # out of descriptors, say: others leave sooner or later
                    _log.warning("a client could not be let in: %s", exc)
                    self._over.wait(0.1)
                    continue
                self._receive(end)
        finally:
            self._end()

    def _receive(self, end: socket.socket) -> None:
        client = Client(end)
        self._clients.came(client)
        try:
            threading.Thread(target=self._serve, args=(client,), name="coral-client", daemon=True).start()
        except RuntimeError:
            self._clients.gone(client)

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
                self._clients.let_in(client)
                if not self._clients.reserve(client, model=max(1, os.fstat(descriptors[0]).st_size)):
                    raise DeviceError("user %d has too many models here already" % client.uid, cause="busy")
                copy = copied(descriptors[0])
                self._clients.reserve(client, model=copy.size, digest=copy.digest)
                os.close(descriptors.pop())
                _answer(client.end, "ok")
                Visit(client, self._clients, self._stock, self._over).pay(copy)
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
            self._clients.gone(client)

    def status(self) -> Dict[str, Any]:
        """In plain types: who uses what, and what was survived."""
        devices, banned = self._stock.told()
        try:
            driver = edgetpu.version()
        except DeviceError:
            driver = ""
        return {"pid": os.getpid(), "seconds": round(time.monotonic() - self._began), "driver": driver,
                "devices": devices, "clients": self._clients.told(), "most_clients": self._clients.most,
                "faults_survived": self._stock.faults, "not_run": banned}

    def _end(self) -> None:
        self._listener.close()
        until = time.monotonic() + _LAST_PICTURES_S
        while self._clients.in_hand and time.monotonic() < until:
            time.sleep(0.01)
        self._clients.hang_up()
        self._stock.close()
        if not self._inherited:
            try:
                os.unlink(self._path)
                os.unlink(self._path + ".lock")
            except OSError:
                pass
            os.close(self._guard)


def _locked(path: str) -> int:
    """A descriptor of a file that this process alone has locked, and that has this name.

    :raises OSError: BlockingIOError if another has it
    """
    while True:
        guard = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(guard)):
                return guard
        except BaseException:
            os.close(guard)
            raise
        os.close(guard)  # an owner that ended has just removed it


def _answer(end: socket.socket, text: str) -> None:
    try:
        end.settimeout(_GREETING_S)
        end.sendall(("%s %d %s\n" % (GREETING, VERSION, " ".join(text.split()))).encode("utf-8"))
    except OSError:
        pass
