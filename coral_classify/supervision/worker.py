"""The worker: the process that alone loads an engine and a driver, and may die of them.

Runs in a fresh interpreter that :mod:`coral_classify.supervision.childprocess` starts.  It obeys frames on an inherited
socket and leaves as soon as its parent is gone, by whatever way the parent went.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any, Callable, Dict, List, NoReturn, Tuple

import numpy as np

from ..types import Session
from . import channel
from .tensors import mapped

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MOST_KNOWN = 1024  # ways to choose tensors that are remembered
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
        _serve(wire)
    except EOFError:
        pass  # its owner is gone without a word; the parent's end is seen elsewhere
    finally:
        wire.close()


def _serve(wire: channel.Wire) -> None:
    order = json.loads(wire.receive().payload.decode("ascii"))
    try:
        session = _open(order["factory"], order["description"])
    except BaseException as exc:  # SystemExit and KeyboardInterrupt too: the parent wants to know
        wire.send(channel.FAILED, 0, channel.error_to_json(exc))
        return
    with session:
        try:
            if order["prove"]:
                # A device that came back must answer once before a picture is entrusted to it.
                session.run_all([np.zeros(spec.shape, spec.dtype) for spec in session.inputs])
        except BaseException as exc:
            wire.send(channel.FAILED, 0, channel.error_to_json(exc))
            return
        ready = {
            "device": session.device,
            "inputs": [channel.spec_to_json(spec) for spec in session.inputs],
            "outputs": [channel.spec_to_json(spec) for spec in session.outputs],
        }
        wire.send(channel.READY, 0, json.dumps(ready).encode("ascii"))
        memories: "Dict[int, List[Tuple[np.ndarray[Any, Any], ...]]]" = {}  # by number: sets of tensors
        known: "Dict[bytes, List[np.ndarray[Any, Any]]]" = {}  # the tensors of a RUN, by its payload
        while True:
            frame = wire.receive()
            if frame.kind == channel.QUIT:
                break
            if frame.kind == channel.TAKE:
                memories[frame.number] = mapped(frame.descriptor, channel.layout_from_payload(frame.payload))
                os.close(frame.descriptor)
            elif frame.kind == channel.DROP:
                del memories[frame.number]
                known.clear()
            else:
                try:
                    if frame.kind == channel.CALL:
                        payload = _call(session, frame.payload)
                    else:
                        tensors = known.get(frame.payload)
                        if tensors is None:
                            if len(known) > _MOST_KNOWN:
                                known.clear()
                            tensors = known[frame.payload] = [
                                memories[memory][slot][position]
                                for memory, slot, position in channel.places_from_payload(frame.payload)
                            ]
                        payload = _run(session, tensors)
                except Exception as exc:
                    wire.send(channel.FAILED, frame.number, channel.error_to_json(exc))
                else:
                    wire.send(channel.DONE, frame.number, payload)


def _run(session: Session, tensors: "List[np.ndarray[Any, Any]]") -> bytes:
    """The outputs; nothing where *tensors* holds places for them, too."""
    inputs = len(session.inputs)
    if len(tensors) == inputs:
        if inputs == 1 == len(session.outputs):  # a classifier: the shortest way
            return session.run(tensors[0]).tobytes()
        return channel.outputs_to_payload(session.run_all(tensors))
    session.run_all(tensors[:inputs], into=tensors[inputs:])
    return b""


def _call(session: Session, payload: bytes) -> bytes:
    order = json.loads(payload.decode("ascii"))
    return json.dumps(session.call(order["verb"], **order["plain"])).encode("ascii")


def _open(factory: str, description: Dict[str, Any]) -> Session:
    module, _, function = factory.partition(":")
    make: Callable[[Dict[str, Any]], Session] = getattr(importlib.import_module(module), function)
    return make(description)


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
