"""A worker process: started, listened to, killed, reaped.  It houses one session, or several on one device.

The driver shares an accelerator between the interpreters of one process only.  Sessions on the same device
therefore move into the same process, and share its fate.
"""

from __future__ import annotations

import array
import os
import re
import select
import signal
import socket
import subprocess
import threading
import weakref
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Set

from ..processes import another_python

__all__ = ["Host", "borrow"]

_WORKER = "from coral_classify.supervision.worker import main; main(sys.argv[1:])"
_LAST_LINES = 500  # a driver that explains itself writes some sixty for each device that it tries
_LONGEST_LINE = 1000  # bytes


class Host:
    """A worker process.  Get one from :func:`borrow`.

    :raises OSError: if no process can be started
    """

    def __init__(self) -> None:
        self.users = 0  # guarded by the lock of the registry
        self.names: Set[str] = set()  # of the devices in it, as asked for and as they were opened
        self.doomed = False  # killed, or ended: nobody moves in any more
        self.words: int = -1  # descriptor of what it says
        self._lines: Deque[bytes] = deque(maxlen=_LAST_LINES)
        self._partial = b""
        self._listening = threading.Lock()
        self._reaping = threading.Lock()
        self._started = threading.Event()
        self._ended = threading.Event()
        self._failure: Optional[BaseException] = None
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._control, theirs = socket.socketpair()
        # The kernel's signal at the parent's death is tied to the thread that started the child: a thread of
        # its own, which lives as long as the child and reaps it.
        self._thread = threading.Thread(target=self._live, args=(theirs,), name="coral-host", daemon=True)
        try:
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                raise self._failure
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
        assert self._process is not None and self._process.stdout is not None
        self.words = self._process.stdout.fileno()
        os.set_blocking(self.words, False)
        _alive.add(self)

    def _live(self, theirs: socket.socket) -> None:
        try:
            command, environment = another_python(_WORKER, str(theirs.fileno()), str(os.getpid()))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a driver's chatter must not reach our standard output
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # no signals of the terminal
                env=environment,
            )
        except BaseException as exc:
            self._failure = exc
            return
        finally:
            self._started.set()
        process = self._process
        try:
            # Wait without reaping: as long as its pid is its own, what it started can be killed with it.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._reaping:
                self._kill_group(process.pid)
                process.wait()
        except (AttributeError, OSError):  # no waitid here; or somebody else reaps all children
            process.wait()
        finally:
            self.doomed = True
            self._ended.set()

    def new_wire(self, order: Dict[str, Any]) -> socket.socket:
        """Our end of the wire of a new session; *order* follows on it.

        :raises OSError: if there is none to be had
        """
        mine, theirs = socket.socketpair()
        with theirs:
            self.move_in(theirs)
        return mine

    def move_in(self, wire: socket.socket) -> None:
        """Hand the end of a new session's wire over.  A process that is gone shows at the wire."""
        ends = array.array("i", [wire.fileno()])
        try:
            self._control.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ends)])
        except OSError:
            pass

    def give_back(self) -> None:
        """One user less.  The last one out ends the process."""
        with _registry_lock:
            self.users -= 1
            last = self.users == 0
            if last and self in _shared:
                _shared.remove(self)
        if not last:
            return
        _alive.discard(self)
        self._control.close()  # it leaves by this
        if not self._ended.wait(2.0):
            self.kill()
            self._ended.wait(10.0)  # not even SIGKILL ends an uninterruptible call of the kernel
        if self._ended.is_set():
            self._thread.join(1.0)  # it is on its way out: whoever has closed finds no thread of ours
        self.listen()
        with self._listening:
            self._close_words()

    def code(self) -> Optional[int]:
        """Its return code as subprocess counts it (negative: a signal), once it has ended; else None."""
        self._ended.wait(10.0)
        return self._process.returncode if self._process is not None else None

    def ended(self) -> bool:
        return self._ended.is_set()

    def kill(self) -> None:
        """Kill it and whatever it started.  Callable from any thread, more than once."""
        self.doomed = True
        assert self._process is not None
        with self._reaping:
            if not self._ended.is_set() and self._process.returncode is None:
                self._kill_group(self._process.pid)

    @staticmethod
    def _kill_group(pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass

    def listen(self) -> bool:
        """Read what it says on its standard output and error, without waiting.  False at the end."""
        with self._listening:
            while self.words >= 0:
                try:
                    chunk = os.read(self.words, 65536)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not chunk:
                    return False
                lines = (self._partial + chunk).split(b"\n")
                self._partial = lines.pop()[-_LONGEST_LINE:]
                self._lines.extend(line[:_LONGEST_LINE] for line in lines if line.strip())
            return False

    def said(self) -> List[str]:
        """Its last lines, oldest first, safe to print."""
        lines = list(self._lines) + ([self._partial] if self._partial.strip() else [])
        return [_printable(line) for line in lines]

    def forget(self) -> None:
        """Drop the lines so far: what it says later is to stand alone."""
        self.listen()
        with self._listening:
            self._lines.clear()
            self._partial = b""

    def abandon(self) -> None:
        """In a forked child of ours: close what was inherited; the process is not ours."""
        self._control.close()
        self._close_words()
        self._ended.set()

    def _close_words(self) -> None:
        self.words = -1
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


_shared: List[Host] = []
_registry_lock = threading.Lock()
_alive: "weakref.WeakSet[Host]" = weakref.WeakSet()


def borrow(key: Optional[str]) -> Host:
    """The process for a session on the device *key*, shared with others there; one of its own for None.

    A name that leaves the choice open (``auto``, ``usb``, ``:0``) joins whoever holds a device already: only
    there can it be shared, and a name with a place (``usb:1``) has its own process for its own fate.

    :raises OSError: if no process can be started
    """
    with _registry_lock:
        if key is not None:
            open_choice = not re.match(r"(usb|pci):\d", key)
            for host in _shared:
                if (open_choice or key in host.names) and not host.doomed and not _hung_up(host):
                    host.names.add(key)
                    host.users += 1
                    return host
        host = Host()
        if key is not None:
            host.names.add(key)
            _shared.append(host)
        host.users += 1
        return host


def _hung_up(host: Host) -> bool:
    poll = select.poll()
    poll.register(host._control, 0)
    return bool(poll.poll(0))


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)


def _let_go_after_fork() -> None:
    # A forked process that kept our end of the socket open would keep a worker alive after our death.
    global _registry_lock
    _registry_lock = threading.Lock()
    for host in list(_alive):
        host.abandon()
    _alive.clear()
    _shared.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
