"""The worker: the process that alone loads an engine and a driver, and may die of them.

Runs in a fresh interpreter that :mod:`coral_classify.supervision.childprocess` starts.  It obeys frames on an inherited
socket and leaves as soon as its parent is gone, by whatever way the parent went.
"""

from __future__ import annotations

import array
import ctypes
import os
import signal
import socket
import sys
import threading
from typing import List, NoReturn

from . import channel
from .housing import housed

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ORPHANED = 3  # exit code: the parent is gone


def main(argv: List[str]) -> NoReturn:
    """House sessions until the parent is gone, or done.

    :param argv: the inherited descriptor of the control socket, and the parent's pid
    """
    descriptor, parent = (int(word) for word in argv)
    os.set_inheritable(descriptor, False)  # a process that an engine starts must not keep it open
    _stand_apart()
    _die_with(parent)
    control = socket.socket(fileno=descriptor)
    control.settimeout(1.0)
    space = socket.CMSG_SPACE(array.array("i").itemsize)
    while os.getppid() == parent:
        try:
            word, ancillary, _, _ = control.recvmsg(1, space)
        except socket.timeout:
            continue
        except OSError:
            break
        if not word:
            break
        ends = array.array("i")
        for _, _, data in ancillary:
            ends.frombytes(data)
        (wire,) = ends
        os.set_inheritable(wire, False)
        threading.Thread(target=_house, args=(wire,), name="coral-session", daemon=True).start()
    _leave(0)


def _house(descriptor: int) -> None:
    """One session, from its opening to its end, in a thread of its own."""
    wire = channel.Wire(socket.socket(fileno=descriptor))
    try:
        housed(wire)
    except EOFError:
        pass  # its owner is gone without a word; the parent's end is seen elsewhere
    finally:
        wire.close()


def _stand_apart() -> None:
    """No signal of a terminal, no core files: a driver that aborts now and then would fill the disk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    except (ImportError, ValueError, OSError):
        pass


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, even while native code holds the GIL (Linux only).

    The main thread covers the rest: it sees the end of the socket on every system, and the parent's pid when
    a process that the parent forked keeps that socket open.
    """
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        except (OSError, AttributeError):
            pass
    if os.getppid() != parent:
        os._exit(_ORPHANED)


def _leave(code: int) -> NoReturn:
    # Without the interpreter's finalization: drivers crash in it (a delegate that outlives its library).
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
