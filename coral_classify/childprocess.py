"""One worker process, as its parent holds it: start, ask, listen to its last words, bury.

Knows processes, pipes and deadlines.  Knows no policy: what a death means is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, List, Optional

import numpy as np

from . import channel
from .errors import UsageError

__all__ = ["Child", "ChildDied", "ChildHung", "interpreter"]

# The path comes through the environment: the child must see the modules that the parent sees.  What
# `python -c` puts in front, the current folder, is not among them: a json.py among the pictures must not be
# imported.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [folder for folder in sys.path if folder]; import json, os; "
    "sys.path[:] = json.loads(os.environ.pop('CORAL_CLASSIFY_WORKER_PATH')); "
    "from coral_classify.worker import main; main(sys.argv[1:])"
)
_LAST_LINES = 60
_LONGEST_LINE = 1000  # bytes


class ChildDied(Exception):
    """The child is gone, or talks nonsense."""


class ChildHung(Exception):
    """The child did not answer in time.  It still lives."""


def interpreter() -> str:
    """The Python interpreter that can run a worker.

    :raises UsageError: where there is none (a frozen application, an embedding program) or no way to hand
        descriptors over (Windows)
    """
    if os.name != "posix":
        raise UsageError(
            "supervised sessions need POSIX processes and do not run on %s yet; use supervised=False"
            % sys.platform
        )
    named = os.environ.get("CORAL_CLASSIFY_PYTHON")
    if named:
        return named
    if getattr(sys, "frozen", False):
        raise UsageError(
            "supervised sessions start a Python interpreter, and this is a frozen application (%s); use "
            "supervised=False, or name an interpreter that has coral_classify in CORAL_CLASSIFY_PYTHON"
            % (sys.executable or "without sys.executable")
        )
    if sys.executable and re.match(r"(python|pypy)", os.path.basename(sys.executable), re.IGNORECASE):
        return sys.executable
    # Embedded (uwsgi, mod_wsgi, …): sys.executable is empty or names the embedding program.
    for name in ("python%d.%d" % sys.version_info[:2], "python3"):
        candidate = os.path.join(sys.exec_prefix, "bin", name)
        if os.access(candidate, os.X_OK):
            return candidate
    raise UsageError(
        "supervised sessions start a Python interpreter, and sys.executable is %r; use supervised=False, or "
        "name an interpreter that has coral_classify in CORAL_CLASSIFY_PYTHON" % (sys.executable or "")
    )


class Child:
    """A worker process.  One thread (the keeper) starts, reads and buries it; others only call ``request``.

    :param order: what the worker opens: factory, description, prove
    :raises OSError: if no process can be started
    """

    def __init__(self, order: Dict[str, Any]) -> None:
        self.started_at = time.monotonic()
        self.device = ""  # known once ready
        self.input: Any = None
        self.output: Any = None
        self.requests = 0
        self.proven = bool(order["prove"])
        self._in_use = threading.Lock()  # held during a request: no descriptor is closed under it
        self._pending = False  # a request was sent whose answer nobody has read
        self._buried = False
        self._area: Optional[channel.Area] = None
        self._lines: Deque[bytes] = deque(maxlen=_LAST_LINES)
        self._partial = b""
        self._memory = channel.make_memory()
        try:
            mine, theirs = socket.socketpair()
        except OSError:
            os.close(self._memory)
            raise
        self._wire = channel.Wire(mine)
        try:
            self._process = subprocess.Popen(
                [interpreter(), *_flags(), "-c", _BOOTSTRAP]
                + [str(theirs.fileno()), str(self._memory), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a driver's chatter must not reach our standard output
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=(theirs.fileno(), self._memory),
                start_new_session=True,  # no signals of the terminal
                env=_environment(),
            )
        except BaseException:
            mine.close()
            os.close(self._memory)
            raise
        finally:
            theirs.close()
        assert self._process.stdout is not None
        self.words = self._process.stdout.fileno()
        os.set_blocking(self.words, False)
        _alive.add(self)
        try:
            self._wire.send(channel.OPEN, 0, json.dumps(order).encode("ascii"))
        except EOFError:
            pass  # the keeper will see it die

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def control(self) -> int:
        return self._wire.fileno()

    @property
    def busy(self) -> bool:
        """A request was sent, and nobody has read its answer yet."""
        return self._pending

    def finish_opening(self) -> None:
        """Read the frame that tells how opening went; call it when ``control`` is readable.

        :raises ChildDied: if it died instead
        :raises CoralClassifyError: what the factory raised in the child
        """
        try:
            # A frame has begun to arrive; its rest follows at once.
            frame = self._wire.receive(5.0)
        except (EOFError, socket.timeout) as exc:
            raise ChildDied() from exc
        if frame.kind == channel.FAILED:
            raise channel.error_from_json(frame.payload)
        ready = json.loads(frame.payload.decode("ascii"))
        self.device = ready["device"]
        self.input = channel.spec_from_json(ready["input"])
        self.output = channel.spec_from_json(ready["output"])
        self._area = channel.Area(self._memory, self.input, self.output, create=False)

    def request(self, tensor: "np.ndarray[Any, Any]", timeout_s: float) -> "np.ndarray[Any, Any]":
        """Run once in the child; a copy of its answer.

        :raises ChildDied: it is gone
        :raises ChildHung: no answer within *timeout_s*
        :raises CoralClassifyError: what the session raised in the child
        """
        with self._in_use:
            if self._area is None:
                raise ChildDied()
            try:
                if self._pending:  # Ctrl-C broke the last request off: its input is still in use
                    self._wire.receive(timeout_s)
                    self._pending = False
                self._area.input[...] = tensor
                self.requests += 1
                number = self.requests
                self._pending = True
                self._wire.send(channel.RUN, number)
                frame = self._wire.receive(timeout_s)
                self._pending = False
            except EOFError as exc:
                raise ChildDied() from exc
            except socket.timeout as exc:
                raise ChildHung() from exc
            if frame.number != number:
                raise ChildDied()
            if frame.kind == channel.FAILED:
                raise channel.error_from_json(frame.payload)
            return self._area.output.copy()

    def listen(self) -> bool:
        """Read what it says on its standard output and error, without waiting.  False at the end."""
        while True:
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

    def said(self) -> List[str]:
        """Its last lines, oldest first, safe to print."""
        lines = list(self._lines) + ([self._partial] if self._partial.strip() else [])
        return [_printable(line) for line in lines]

    def kill(self) -> None:
        """Kill it and whatever it started.  Callable from any thread, more than once."""
        if self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            try:
                self._process.kill()
            except ProcessLookupError:
                pass

    def ended(self) -> bool:
        """Whether the process has come to its end, asked of the system and not of a pipe."""
        return self._process.poll() is not None

    def bury(self, grace_s: float = 0.0) -> Optional[int]:
        """End it, reap it, give everything back.  For the keeper alone; may be repeated.

        :param grace_s: time for an orderly end; 0 kills at once
        :returns: its return code as subprocess counts it (negative: a signal); None if it cannot be known
        """
        if self._buried:
            return self._process.returncode
        self._buried = True
        if grace_s > 0:
            self._ask_to_leave(grace_s)
        # Whoever is on the way out by itself, by abort say, keeps its own exit code under this kill.
        self.kill()
        code = self._wait(10.0)
        self.listen()
        self._wire.hang_up()
        with self._in_use:  # a request in progress has ended by this
            self._release()
        return code

    def abandon(self) -> None:
        """In a forked child of ours: close what was inherited, touch neither the process nor the memory."""
        for close in (self._wire.close, self._close_words, self._close_memory):
            try:
                close()
            except OSError:
                pass
        self._process.returncode = 0  # not ours to wait for

    def _ask_to_leave(self, grace_s: float) -> None:
        try:
            self._wire.send(channel.QUIT)
        except EOFError:
            pass
        end = time.monotonic() + grace_s
        while self._process.poll() is None and time.monotonic() < end:
            self.listen()
            self._wait(0.01)

    def _wait(self, timeout_s: float) -> Optional[int]:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None  # not even SIGKILL: it sits in an uninterruptible call of the kernel

    def _release(self) -> None:
        _alive.discard(self)
        self._wire.close()
        self._close_words()
        self._close_memory()
        if self._area is not None:
            self._area.close()
            self._area = None

    def _close_words(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _close_memory(self) -> None:
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


def _flags() -> List[str]:
    """The isolation that this interpreter was started with holds for the worker, too."""
    if sys.flags.isolated:
        return ["-I"]
    chosen = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    return [flag for flag, wanted in chosen.items() if wanted]


def _environment() -> Dict[str, str]:
    folders = [os.path.abspath(folder) for folder in sys.path if isinstance(folder, str)]
    package = str(Path(__file__).resolve().parent.parent)
    if package not in folders:  # imported by a finder of its own, not from the path
        folders.append(package)
    environment = dict(os.environ)
    environment["CORAL_CLASSIFY_WORKER_PATH"] = json.dumps(folders)
    return environment


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)


_alive: "weakref.WeakSet[Child]" = weakref.WeakSet()


def _let_go_after_fork() -> None:
    # A forked process that kept our end of the socket open would keep a worker alive after our death.
    for child in list(_alive):
        child.abandon()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
